//! Tests of the limits on untrusted templates.

use super::*;
use std::time::{Duration, Instant};

fn render(source: &str) -> Result<String, Fault> {
    let template = Template::compile(source)?;
    template.render(&[], SystemTime::UNIX_EPOCH, 0).map(|rendered| rendered.text)
}

/// Long chains, for which a compiler that recurses for every link would overflow its stack. Some of them compile and
/// fail later.
#[test]
fn long_chains_and_deep_nests_are_refused() {
    let chains = [
        ("{{ a", ".a", " }}"),
        ("{{ a", "|upper", " }}"),
        ("{{ 1", "+1", " }}"),
        ("{{ 1", " or 1", " }}"),
        ("{{ 1", " and 1", " }}"),
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ ", "- ", "1 }}"),
        ("{{ a", "()", " }}"),
        ("{{ a", "[0]", " }}"),
        ("{{ a", " is defined", " }}"),
        ("{{ 1", " if 1 else 1", " }}"),
        ("{{ 1", " if 1", " }}"),
        ("{{ 2", "**1", " }}"),
        ("{{ 1", " < 2", " in }}"),
        ("{{ ", "(", "1 }}"),
        ("{{ ", "[", "1 }}"),
        ("{{ ", "{1:", "1 }}"),
        ("{{ ", "f(", "1 }}"),
        ("{{ a", "|f(a", " }}"),
        ("", "{% if 1 %}", ""),
        ("", "{% for a in b %}", ""),
        ("", "{% macro a() %}", ""),
        ("", "{% filter upper %}", ""),
        ("{% set ", "(", "a = 1 %}"),
    ];
    for (before, link, after) in chains {
        for n in [3_000, 20_000] {
            let error = render(&(before.to_owned() + &link.repeat(n) + after)).unwrap_err();
            assert_eq!(error.kind, Kind::Syntax, "{link}: {}", error.describe());
        }
    }
    // These sources are long but not nested.
    assert!(render(&("{{ 1".to_owned() + &" ~ 1".repeat(20_000) + " }}")).unwrap().len() == 20_001);
    let branches = "{% if 0 %}".to_owned() + &"{% elif 0 %}".repeat(10_000) + "{% endif %}";
    assert_eq!(render(&branches).unwrap(), "");
    assert!(render(&"x".repeat(LONGEST_SOURCE + 1)).unwrap_err().describe().contains("bytes"));
}

/// Templates within the limits compile and run on any thread, because they run on a stack of their own.
#[test]
fn chains_up_to_the_limit_run_on_a_small_stack() {
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let work = || {
        let sum = "{{ 1".to_owned() + &"+1".repeat(990) + " }}";
        assert_eq!(render(&sum).unwrap(), "991");
        let nest = "{{ ".to_owned() + &"(".repeat(190) + "1" + &")".repeat(190) + " }}";
        assert_eq!(render(&nest).unwrap(), "1");
        let calls = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(100) }}";
        assert_eq!(render(calls).unwrap(), "");
    };
    small.spawn(work).unwrap().join().unwrap();
}

#[test]
fn memory_time_and_depth_are_bounded() {
    let forever = |body: &str| {
        format!("{{% for i in range(100000) %}}{{% for j in range(100000) %}}{body}{{% endfor %}}{{% endfor %}}")
    };
    let with = |set: &str, body: &str| format!("{{% set ns = namespace() %}}{{% set ns.x = {set} %}}{}", forever(body));
    let hostile = [
        with("'a'", "{% set ns.x = ns.x ~ ns.x %}"),
        with("'a'", "{% set ns.x = ns.x + ns.x %}"),
        with("'aa'", "{% set ns.x = ns.x|replace('a', 'aaaa') %}"),
        with("'aa'", "{% set ns.x = ns.x|join('aaaa') %}"),
        with("'aa'", "{% set ns.x = (ns.x ~ '\\n')|indent(1000) ~ ns.x %}"),
        with("[1]", "{% set ns.x = ns.x + ns.x %}"),
        with("[1]", "{% set ns.x = ns.x * 1000 %}"),
        with("[1]", "{% set ns.x = [ns.x] %}"),
        with("[1]", "{% set ns.x = (ns.x, ns.x) %}"),
        with("[1]", "{% set ns.x = {'a': ns.x} %}"),
        with("[1]", "{% set ns.x = [ns.x]|map('list') %}"),
        with("'b' * 1000000", "{{ 'c' in ns.x }}"),
        with("'b' * 1000000", "{% set y = ns.x|upper %}"),
        with("'b' * 1000000", "{% set y = ns.x.split('b') %}"),
        with("'b' * 1000000", "{% set y = ns.x == ns.x ~ '' %}"),
        forever(""),
        forever("{% set x = i %}"),
        forever("x"),
        forever("{{ 'x' * 1000 }}"),
        forever("{% macro m() %}{% endmacro %}"),
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}".into(),
        "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x|tojson }}".into(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".into(),
        "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}".into(),
        "{% for i in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}".into(),
        "{{ 'x' * 10000000000 }}".into(),
        "{{ [1] * 10000000000 }}".into(),
        "{{ '%10000000000d' % 1 }}".into(),
        "{{ '%*d' % (10000000000, 1) }}".into(),
        "{{ '%.10000000000f' % 1.5 }}".into(),
        "{{ '{:>9999999999}'.format(1) }}".into(),
        "{{ '{:{}}'.format(1, 9999999999) }}".into(),
        "{{ 'a'.center(10000000000) }}{{ 'a'|center(10000000000) }}".into(),
        "{{ 'a'.zfill(10000000000) }}".into(),
        "{{ '\\t'.expandtabs(10000000000) }}".into(),
        "{{ 'a\\nb'|indent(10000000000) }}".into(),
        "{{ [1]|batch(1000000000, 0)|list }}".into(),
        "{{ [1]|slice(1000000000)|list }}".into(),
        "{{ range(1000000000)|list }}".into(),
        "{{ 2 ** 1000000000 }}".into(),
        "{{ {'a': [1]}|tojson(indent=1000000000) }}".into(),
        "{% set x = 'a' * 100000 %}{{ x|replace('', x) }}".into(),
        "{% set x = range(100000)|list %}{{ x|unique|list|length }}".into(),
        "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}".into(),
        "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}".into(),
    ];
    for source in &hostile {
        let start = Instant::now();
        let result = render(source);
        // The time limit is so generous that a slow machine does not reach it.
        assert!(start.elapsed() < Duration::from_secs(60), "{source}");
        let error = result.map(|text| text.len()).expect_err(source);
        assert!(matches!(error.kind, Kind::Stopped | Kind::Failed), "{source}: {}", error.describe());
    }
}

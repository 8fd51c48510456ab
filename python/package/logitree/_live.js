// Shows the page of a live run in a frame and carries its requests to the kernel: the frame has no network, no cookies and no
// access to the notebook. One port leads to it (the page's host.ts says what goes over it); the kernel's messages have the
// name of the page that they are for, since one widget may be shown in several places.

/** The notebook's theme, by how light it is behind the widget. */
function theme(el) {
  // A canvas knows all the ways in which colours are written.
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  for (let at = el; at; at = at.parentElement ?? at.getRootNode().host) {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = getComputedStyle(at).backgroundColor;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
    if (a > 127) return 0.299 * r + 0.587 * g + 0.114 * b < 128 ? "dark" : "light";
  }
  return "light";
}

/** Bytes as an array buffer of their own, which can be handed over. */
const own = (view) => new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength).slice().buffer;

function render({ model, el }) {
  const page = Math.random().toString(36).slice(2);
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.title = "logitree";
  frame.style.cssText = `display:block;width:100%;height:${model.get("height")}px;border:1px solid #8888`;
  const { port1: port, port2 } = new MessageChannel();
  let told = null;
  const tellTheme = () => {
    const now = theme(el);
    if (now !== told) port.postMessage({ theme: (told = now) });
  };
  const hear = (said, buffers) => {
    if (said.page !== page) return;
    if (said.html !== undefined) {
      frame.srcdoc = said.html;
      return;
    }
    const { page: _, chunk, ...rest } = said;
    const data = chunk ? own(buffers[0]) : undefined;
    port.postMessage(data ? { ...rest, chunk: data } : rest, data ? [data] : []);
  };
  port.onmessage = ({ data: { body, ...ask } }) => model.send({ page, ...ask }, undefined, body ? [body] : []);
  frame.addEventListener("load", () => {
    // An empty frame loads, too, before it gets the page.
    if (!frame.srcdoc || told !== null) return;
    frame.contentWindow.postMessage("logitree", "*", [port2]);
    tellTheme();
  });
  model.on("msg:custom", hear);
  const resize = () => (frame.style.height = `${model.get("height")}px`);
  model.on("change:height", resize);
  el.append(frame);
  model.send({ page, open: true });
  const watch = new MutationObserver(tellTheme);
  for (const at of [document.documentElement, document.body]) watch.observe(at, { attributes: true });
  return () => {
    watch.disconnect();
    model.off("msg:custom", hear);
    model.off("change:height", resize);
    model.send({ page, leave: true });
    port.close();
  };
}

export default { render };

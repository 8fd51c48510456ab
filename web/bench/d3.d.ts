// The little of d3 that the page of bench/d3page.html uses.

declare module 'd3-hierarchy' {
  export interface HierarchyNode<T> {
    data: T;
    depth: number;
    parent: HierarchyNode<T> | null;
    children?: HierarchyNode<T>[];
    x: number;
    y: number;
    descendants(): HierarchyNode<T>[];
  }
  export function hierarchy<T>(data: T, children: (d: T) => T[]): HierarchyNode<T>;
  export function tree<T>(): { nodeSize(size: [number, number]): (root: HierarchyNode<T>) => void };
}

declare module 'd3-selection' {
  export interface Selection<T> {
    append(name: string): Selection<T>;
    attr(name: string, value: string | number | ((d: T) => string | number)): Selection<T>;
    style(name: string, value: string | number | ((d: T) => string | number)): Selection<T>;
    text(value: string | ((d: T) => string)): Selection<T>;
    selectAll(selector: string): { data<U>(data: U[]): { join(name: string): Selection<U> } };
    call<A extends unknown[]>(f: (selection: Selection<T>, ...args: A) => void, ...args: A): Selection<T>;
  }
  export function select(selector: string | Element): Selection<unknown>;
}

declare module 'd3-zoom' {
  import type { Selection } from 'd3-selection';
  export interface Transform {
    translate(x: number, y: number): Transform;
    scale(k: number): Transform;
    toString(): string;
  }
  export interface ZoomBehaviour {
    (selection: Selection<unknown>): void;
    scaleExtent(extent: [number, number]): ZoomBehaviour;
    on(type: string, listener: (event: { transform: Transform }) => void): ZoomBehaviour;
    transform(selection: Selection<unknown>, transform: Transform): void;
  }
  export function zoom(): ZoomBehaviour;
  export const zoomIdentity: Transform;
}

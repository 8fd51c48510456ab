// Typed arrays that grow: a run of 50,000 nodes is a few of these, not 50,000 objects.

type Numeric = Float64Array | Float32Array | Int32Array | Uint8Array;

export class Column<T extends Numeric> {
  data: T;
  length = 0;

  constructor(
    private readonly make: (n: number) => T,
    private readonly fill = 0,
  ) {
    this.data = make(256);
    if (fill !== 0) this.data.fill(fill);
  }

  get(i: number): number {
    return this.data[i] as number;
  }

  set(i: number, value: number): void {
    this.data[i] = value;
  }

  push(value: number): void {
    if (this.length === this.data.length) {
      const grown = this.make(this.data.length * 2);
      grown.set(this.data);
      if (this.fill !== 0) grown.fill(this.fill, this.data.length);
      this.data = grown;
    }
    this.data[this.length++] = value;
  }
}

export const f64 = (fill = 0) => new Column((n) => new Float64Array(n), fill);
export const f32 = (fill = 0) => new Column((n) => new Float32Array(n), fill);
export const i32 = (fill = 0) => new Column((n) => new Int32Array(n), fill);
export const u8 = (fill = 0) => new Column((n) => new Uint8Array(n), fill);

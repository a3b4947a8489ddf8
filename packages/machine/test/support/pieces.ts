/** A file in memory. */
export class Pieces {
  #bytes = new Uint8Array(0)

  readonly write = (piece: Uint8Array): void => {
    const bytes = new Uint8Array(this.#bytes.length + piece.length)
    bytes.set(this.#bytes)
    bytes.set(piece, this.#bytes.length)
    this.#bytes = bytes
  }

  readonly read = (at: number, bytes: number): Uint8Array => this.#bytes.subarray(at, at + bytes)

  get source(): { bytes: number; read: (at: number, bytes: number) => Uint8Array } {
    return { bytes: this.#bytes.length, read: this.read }
  }
}

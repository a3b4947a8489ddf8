import type { SymbolTable } from '@retrap/symbols'
import type { TextBuffer } from './text-buffer.ts'

/** The labels of a section that are still to come. */
export class Labels {
  /** Place of the next label; Infinity after the last. */
  at: number
  readonly #symbols: SymbolTable
  #index: number

  constructor(symbols: SymbolTable) {
    this.#symbols = symbols
    this.#index = symbols.indexFrom(0)
    this.at = symbols.at(this.#index)
  }

  /**
   * Writes the label at a place, if any, and advances to the first label after the instruction.
   *
   * @param next - the place behind the instruction
   */
  write(out: TextBuffer, at: number, next: number, paint: (text: string) => string): void {
    if (at === this.at) out.write(`\n${paint(this.#symbols.name(this.#index))}:\n`)
    // A symbol within an instruction has no line.
    while (this.at < next) this.at = this.#symbols.at(++this.#index)
  }
}

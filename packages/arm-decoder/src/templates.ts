/** Texts of rows, split once at their placeholders. */
import type { Form } from './row.ts'

/** `<#8<<z>` has a bracket inside. */
const PLACEHOLDER = /<((?:[^<>]|<<)*)>/

/** The texts of a table's rows: what is fixed, and what the placeholders stand for, in turn. */
export class Templates<Operand> {
  readonly #operand: (name: string) => Operand
  readonly #known: WeakMap<Form, readonly (string | Operand)[]>

  /** @param operand - what a placeholder stands for */
  constructor(operand: (name: string) => Operand) {
    this.#operand = operand
    this.#known = new WeakMap()
  }

  /** Mnemonic and operands of a row; what is fixed is in lower case. */
  of(form: Form): readonly (string | Operand)[] {
    let template = this.#known.get(form)
    if (template === undefined) {
      template = this.#split(form)
      this.#known.set(form, template)
    }
    return template
  }

  #split({ mnemonic, operands }: Form): (string | Operand)[] {
    // SYS and HINT have no mnemonic: the operand is all, `nop`.
    const text = mnemonic === '.' ? operands : `${mnemonic} ${operands}`.trimEnd()
    return text
      .split(PLACEHOLDER)
      .map((piece, index) => (index % 2 === 0 ? piece.toLowerCase() : this.#operand(piece)))
      .filter((piece) => piece !== '')
  }
}

import { Assembler, byte, ptr, rdi, rip, type Gp64, type Label } from '@retrap/x86-assembler'
import { ROM, VARIABLES } from './memory-map.ts'

/**
 * The program under construction: an assembler, and texts, variables and routines that all of the guest's parts share.
 *
 * Routines follow one convention: arguments in RDI, RSI, RDX; result in RAX; they may change RAX, RCX, RDX, RSI, RDI
 * and R8 to R11, and keep the rest. The direction flag is clear.
 */
export class Guest {
  readonly asm: Assembler = new Assembler({ bits: 16, address: ROM.base })
  readonly #texts = new Map<string, Label>()
  readonly #routines = new Map<string, Label>()

  constructor() {
    // Sections without an address follow the previous one: constants lie after the code.
    this.asm.section('constants').section('variables', { address: VARIABLES, load: 'none' }).section('text')
  }

  /** The label of a routine, wherever it is defined. */
  routine(name: string): Label {
    const known = this.#routines.get(name)
    if (known !== undefined) return known
    const label = this.asm.label(name)
    this.#routines.set(name, label)
    return label
  }

  /**
   * Defines a routine.
   *
   * @param name - name for {@link Guest.call}
   * @param saved - registers that the body changes and the caller relies on
   * @param body - emits the code; it may jump to `done`, which restores and returns
   */
  define(name: string, saved: readonly Gp64[], body: (done: Label) => void): void {
    const { asm } = this
    const done = asm.label(`${name}.done`)
    asm.alignCode(16).bind(this.routine(name))
    for (const register of saved) asm.push(register)
    body(done)
    asm.bind(done)
    for (const register of saved.toReversed()) asm.pop(register)
    asm.ret()
  }

  /** Calls a routine. */
  call(name: string): void {
    this.asm.call(this.routine(name))
  }

  /** Reserves a variable in RAM. */
  variable(name: string, bytes: number): Label {
    const { asm } = this
    asm.section('variables').align(Math.min(bytes, 8))
    const label = asm.here(name)
    asm.fill(bytes).section('text')
    return label
  }

  /** Lays out constants; `emit` fills them in. */
  constant(name: string, alignment: number, emit: (asm: Assembler) => void): Label {
    const { asm } = this
    asm.section('constants').align(alignment)
    const label = asm.here(name)
    emit(asm)
    asm.section('text')
    return label
  }

  /** A zero-terminated text; equal ones are stored once. */
  text(text: string): Label {
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    const label = this.constant(`text.${this.#texts.size}`, 1, (asm) => asm.asciz(text))
    this.#texts.set(text, label)
    return label
  }

  /** Prints a text. */
  say(text: string): void {
    this.asm.lea(rdi, ptr(rip(this.text(text))))
    this.call('putText')
  }

  /** A loop that runs for ever: `body` between a label and a jump back. */
  forever(body: () => void): void {
    const { asm } = this
    const top = asm.label()
    asm.bind(top)
    body()
    asm.jmp(top)
  }

  /** The whole image; unused bytes are as in an erased flash chip. */
  image(): Uint8Array {
    return this.asm.assemble().flatten({ base: ROM.base, size: ROM.bytes, fill: 0xff })
  }
}

/** Byte `index` of the text that a register points to. */
export function at(register: Gp64, index = 0): ReturnType<typeof byte> {
  return byte(register, { disp: index })
}

/** Returns the code of one ASCII character. */
export function code(character: string): number {
  return character.charCodeAt(0)
}

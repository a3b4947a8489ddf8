import type { CodeInstruction } from '@retrap/wasm-emitter'

const OTHER = 0
const GET = 1
const SET = 2
const TEE = 3
const CONSTANT = 4
const KINDS: ReadonlyMap<string, number> = new Map([
  ['local.get', GET],
  ['local.set', SET],
  ['local.tee', TEE],
  ['i32.const', CONSTANT],
  ['i64.const', CONSTANT],
])
const LOCAL_TEE = 0x22
/** Bytes of a constant up to which it is repeated rather than kept in a local. */
const SHORT = 3
/** Rounds at most: each makes some copies the ends of others. */
const MOST_ROUNDS = 8

/**
 * Shortens code whose values all go through locals: a template is made once, and copied for each of its instructions.
 *
 * A value that is stored and read again at once stays on the stack, copies and constants stand where they are read, and values
 * that nothing reads are not stored. Only temporaries that are set once are looked at: they hold nothing before and after the
 * code.
 */
export function shorten(
  bytes: Uint8Array,
  code: readonly CodeInstruction[],
  isTemporary: (local: number) => boolean,
): Uint8Array {
  const shortener = new Shortener(bytes, code, isTemporary)
  for (let i = 0; i < MOST_ROUNDS && shortener.round(); i++);
  return shortener.bytes()
}

interface Step {
  kind: number
  local: number
  code: Uint8Array
  /** Position of the end of the innermost block around it. */
  end: number
}

class Shortener {
  readonly #isTemporary: (local: number) => boolean
  #steps: Step[]
  /** Positions of loops' beginnings. */
  #loops: number[] = []

  constructor(bytes: Uint8Array, code: readonly CodeInstruction[], isTemporary: (local: number) => boolean) {
    this.#isTemporary = isTemporary
    this.#steps = code.map(({ name, from, to, operands }) => {
      const kind = KINDS.get(name) ?? OTHER
      return {
        kind,
        local: kind === OTHER || kind === CONSTANT ? -1 : Number(operands),
        code: bytes.subarray(from, to),
        end: 0,
      }
    })
    this.#names = code.map(({ name }) => name)
  }

  #names: string[]

  /** @returns whether the code has become shorter */
  round(): boolean {
    this.#findBlocks()
    const sets = new Map<number, number[]>()
    const gets = new Map<number, number[]>()
    for (const [i, { kind, local }] of this.#steps.entries()) {
      if (kind === GET || kind === SET || kind === TEE) {
        const all = kind === GET ? gets : sets
        const known = all.get(local)
        if (known === undefined) all.set(local, [i])
        else known.push(i)
      }
    }
    const gone = new Set<number>()
    for (const [local, [set, ...others]] of sets) {
      // A step is changed once in a round: the lists are those of its beginning.
      if (this.#isTemporary(local) && others.length === 0) this.#shortenLocal(set!, gets.get(local) ?? [], sets, gone)
    }
    if (gone.size === 0) return false
    this.#steps = this.#steps.filter((_, i) => !gone.has(i))
    this.#names = this.#names.filter((_, i) => !gone.has(i))
    return true
  }

  #findBlocks(): void {
    this.#loops = []
    const open: number[] = []
    const ends: number[] = []
    for (const [i, name] of this.#names.entries()) {
      if (name === 'block' || name === 'loop' || name === 'if') {
        if (name === 'loop') this.#loops.push(i)
        open.push(i)
      } else if (name === 'else' || name === 'end') {
        const begin = open.pop()
        if (begin !== undefined) ends[begin] = i
        if (name === 'else') open.push(i)
      }
    }
    const around: number[] = []
    for (const [i, step] of this.#steps.entries()) {
      while (around.length > 0 && around.at(-1)! <= i) around.pop()
      step.end = around.at(-1) ?? this.#steps.length
      const end = ends[i]
      if (end !== undefined) around.push(end)
    }
  }

  #shortenLocal(set: number, gets: readonly number[], sets: ReadonlyMap<number, number[]>, gone: Set<number>): void {
    const steps = this.#steps
    const step = steps[set]!
    const before = steps[set - 1]
    if (gone.has(set) || gone.has(set - 1) || gets.some((get) => gone.has(get))) return
    if (step.kind === TEE) {
      if (gets.length === 0) gone.add(set)
      return
    }
    const isSimple = before !== undefined && (before.kind === GET || before.kind === CONSTANT)
    if (gets.length === 0) {
      if (isSimple) gone.add(set).add(set - 1)
      return
    }
    const isWithin = gets.every((get) => get > set && get < step.end)
    if (!isWithin) return
    if (isSimple && this.#isRepeated(set, before, gets, sets)) {
      for (const get of gets) Object.assign(steps[get]!, { kind: before.kind, local: before.local, code: before.code })
      gone.add(set).add(set - 1)
    } else if (gets[0] === set + 1) {
      gone.add(set + 1)
      if (gets.length === 1) gone.add(set)
      else {
        const code = step.code.slice()
        code[0] = LOCAL_TEE
        Object.assign(step, { kind: TEE, code })
      }
    }
  }

  /** Returns whether a value may as well be made where it is read. */
  #isRepeated(set: number, value: Step, gets: readonly number[], sets: ReadonlyMap<number, number[]>): boolean {
    if (value.kind === CONSTANT) return gets.length === 1 || value.code.length <= SHORT
    const last = gets.at(-1)!
    const isChanged = sets.get(value.local)?.some((i) => i > set && i <= last) === true
    return !isChanged && !this.#loops.some((loop) => loop > set && loop < last)
  }

  bytes(): Uint8Array {
    const size = this.#steps.reduce((sum, { code }) => sum + code.length, 0)
    const bytes = new Uint8Array(size)
    let at = 0
    for (const { code } of this.#steps) {
      bytes.set(code, at)
      at += code.length
    }
    return bytes
  }
}

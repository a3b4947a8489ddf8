/** A variable of a file. Source: IEEE Std 1364-2001, 18.2.3.8, "$var"; the type `string` is GTKWave's. */
export interface VcdVariable {
  /** Scopes and name, joined by points. */
  readonly path: string
  readonly type: 'event' | 'integer' | 'reg' | 'string'
  /** Size of the variable; 1 for an event and a string. */
  readonly bits: number
}

/** The new value of a variable. True: an event has happened. Undefined: it is not known. */
export type VcdChange = bigint | string | true | undefined

/** A variable declared in the file. */
interface Declared extends VcdVariable {
  readonly code: string
  /** The last value, in the file's form. */
  text: string
  /** The time in the file at which it was written. */
  changedAt: number
}

/** Characters of identifier codes: 33 to 126. Source: IEEE Std 1364-2001, 18.2.1. */
const FIRST_CODE = 33
const CODES = 94
/** Changes of one instant push the file's time ahead of the guest's by no more than this: a vCPU's turn. */
const MOST_AHEAD_NS = 10_000
/** Characters of a name: some readers have lines of a fixed length. */
const MOST_CHARACTERS = 200

/**
 * Writes a Value Change Dump with times in nanoseconds, which never go back.
 *
 * A viewer shows the last value of an instant. So a variable changes once at a time of the file: where an instant of the
 * guest has several changes of it, the file's time goes on by 1 ns.
 */
export class VcdFile {
  readonly #write: (text: string) => void
  readonly #variables: ReadonlyMap<string, Declared>
  /** The guest's time, from the origin on. */
  #instant = 0
  /** The file's time at which the guest's began. */
  #origin = 0
  /** The file's time; −1: nothing is written yet. */
  #time = -1

  /** @param write - takes lines */
  constructor(write: (text: string) => void, variables: readonly VcdVariable[]) {
    this.#write = write
    this.#variables = new Map(
      variables.map((variable, number) => [
        variable.path,
        { ...variable, code: codeOf(number), text: unknown(variable), changedAt: -1 },
      ]),
    )
  }

  /** Moves to an instant of the guest, in nanoseconds, unless the file has passed it. */
  at(ns: number): void {
    this.#instant = Math.max(this.#instant, this.#origin + Math.floor(ns))
  }

  /** Starts another guest's time at the present end of the file. */
  begin(): void {
    this.#origin = Math.max(0, this.#time + 1)
  }

  /** Changes variables, all at one time. A path that the file does not have is left out. */
  change(changes: readonly (readonly [path: string, value: VcdChange])[]): void {
    const time = Math.max(this.#time, this.#instant)
    const changed: Declared[] = []
    for (const [path, value] of changes) {
      const variable = this.#variables.get(path)
      if (variable === undefined) continue
      const now = value === undefined ? unknown(variable) : textOf(variable, value)
      if (now === variable.text && variable.type !== 'event') continue
      variable.text = now
      changed.push(variable)
    }
    if (changed.length === 0) return
    const isTaken = changed.some(({ changedAt }) => changedAt === time)
    this.#goTo(isTaken && time < this.#instant + MOST_AHEAD_NS ? time + 1 : time)
    for (const variable of changed) variable.changedAt = this.#time
    this.#write(changed.map(({ text, code }) => `${text}${code}\n`).join(''))
  }

  /** Ends the file: its last values last for 1 ns. */
  end(): void {
    this.#goTo(Math.max(this.#time + 1, this.#instant))
  }

  #goTo(time: number): void {
    if (this.#time < 0) {
      this.#write(`${this.#header()}#${time}\n$dumpvars\n${this.#first()}$end\n`)
    } else if (time > this.#time) this.#write(`#${time}\n`)
    this.#time = time
  }

  #header(): string {
    let text = '$version retrap $end\n$timescale 1 ns $end\n'
    let open: readonly string[] = []
    for (const { path, type, bits, code } of this.#variables.values()) {
      const parts = path.split('.')
      const name = parts.pop() ?? ''
      const same = open.findIndex((scope, depth) => scope !== parts[depth])
      const shared = same < 0 ? open.length : same
      text += '$upscope $end\n'.repeat(open.length - shared)
      for (const scope of parts.slice(shared)) text += `$scope module ${scope} $end\n`
      open = parts
      const range = type === 'reg' && bits > 1 ? ` [${bits - 1}:0]` : ''
      text += `$var ${type} ${bits} ${code} ${name}${range} $end\n`
    }
    return `${text}${'$upscope $end\n'.repeat(open.length)}$enddefinitions $end\n`
  }

  /** The values that variables have before the first change. */
  #first(): string {
    let text = ''
    for (const variable of this.#variables.values())
      if (variable.type !== 'event') text += `${unknown(variable)}${variable.code}\n`
    return text
  }
}

/** The identifier of a variable by its number. */
function codeOf(number: number): string {
  let text = ''
  for (let left = number + 1; left > 0; left = Math.floor((left - 1) / CODES))
    text += String.fromCharCode(FIRST_CODE + ((left - 1) % CODES))
  return text
}

/** Returns the unknown value of a variable, in the file's form before the identifier. */
const unknown = ({ type, bits }: VcdVariable): string =>
  type === 'string' ? 's- ' : bits === 1 && type !== 'integer' ? 'x' : 'bx '

function textOf({ bits, type }: VcdVariable, value: bigint | string | true): string {
  if (value === true) return '1'
  if (typeof value === 'string') return `s${nameOf(value)} `
  const text = BigInt.asUintN(bits, value).toString(2)
  return bits === 1 && type !== 'integer' ? text : `b${text} `
}

/** A name without blanks, in printable ASCII. */
const nameOf = (text: string): string => text.replace(/[^!-~]/g, '_').slice(0, MOST_CHARACTERS) || '-'

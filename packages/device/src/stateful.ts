import { DeviceError } from './errors.ts'
import { Instant } from './instant.ts'
import { copyOf, restoreDeadline, savedDeadline, shapeFault } from './saved-state.ts'
import type { Timer } from './wires.ts'

/** A part of a model with a separately saved state. */
export interface StatePart {
  /** Returns the state as plain data. */
  save(): unknown
  /** Takes over a saved state. */
  restore(state: never): void
  /** Returns to the power-on state. Absent: a reset leaves the part as it is. */
  reset?(): void
  /** Returns the invalid part of a saved state, by path; undefined: valid. Nothing is changed. */
  stateFault?(state: unknown): string | undefined
}

/** Exceptions from the rules for fields of a {@link Stateful}'s record. */
export interface StateRules<Name> {
  /** Names of the saved fields, if the record has further ones; it may be the model itself. Default all. */
  readonly only?: readonly Name[]
  /** Names the model in errors of a part without a name. */
  readonly device?: string
  /** Updates wires after a reset or a restore has changed the state. */
  readonly settled?: () => void
  /** Fields that a reset leaves unchanged. */
  readonly lasting?: readonly Name[]
  /** Fields that states of earlier releases may lack: they are then reset. */
  readonly recent?: readonly Name[]
  /** Parts whose fields are saved among the record's own. */
  readonly flat?: readonly Name[]
  /** Plain data whose shape may differ from power-on. */
  readonly free?: readonly Name[]
  /** Typed arrays that are saved as such, not as lists. */
  readonly raw?: readonly Name[]
}

/** A saved state: plain data by the names of fields. */
export type PlainState = Readonly<{ [name: string]: unknown }>

type Values = { [name: string]: unknown }

interface Field {
  readonly name: string
  readonly powerOn: unknown
  /** Null: the value is plain data, which the record holds itself. */
  readonly part: StatePart | null
  /** The rules of {@link StateRules} that name the field. */
  readonly isLasting: boolean
  readonly isRecent: boolean
  readonly isFlat: boolean
  readonly isFree: boolean
}

const isIn = (names: readonly string[] | undefined, name: string): boolean => names?.includes(name) === true

/**
 * A part of a machine whose state is one record: names of fields, in the order in which they are saved, with their values at
 * power-on. `save`, `restore` and `reset` follow from it. The model works with the record that `keeps` returns.
 *
 * | a field is | it is saved as | a saved one must be |
 * |---|---|---|
 * | a number, string or boolean | itself | of that type; a `version` the same |
 * | null or undefined | its present value | anything |
 * | a list or plain object | a copy | of that shape |
 * | a typed array | a list of its numbers | a list of as many |
 * | a `Set` or `Map` | a list | a list |
 * | an `Instant` or `Timer` | an instant; null: not armed | such a one |
 * | a part, or a list of parts | the state of each | a valid state of each, and as many |
 * | a function | as the value that it returns then; null: there is none | |
 */
export abstract class Stateful implements StatePart {
  #record: Values = {}
  #fields: readonly Field[] = []
  #device: string | undefined
  #settled: (() => void) | undefined

  /** Declares the record of the state, and returns it. */
  protected keeps<T extends object>(record: T, rules: StateRules<keyof T & string> = {}): T {
    this.#record = record as Values
    this.#device = rules.device
    this.#settled = rules.settled
    // A machine has hundreds of fields, and each fork makes them anew.
    this.#fields = (rules.only ?? (Object.keys(record) as (keyof T & string)[])).map((name): Field => {
      const value: unknown = record[name]
      const part = isIn(rules.raw, name) ? wordsOf(value as Uint32Array, true) : partOf(value)
      return {
        name,
        powerOn: part === null ? copyOf(value) : undefined,
        part,
        isLasting: isIn(rules.lasting, name),
        isRecent: isIn(rules.recent, name),
        isFlat: isIn(rules.flat, name),
        isFree: isIn(rules.free, name),
      }
    })
    return record
  }

  /** Throws the error for a saved state that does not fit. */
  protected refuseState(text: string): never {
    throw new DeviceError('ERR_STATE', text)
  }

  /** Returns the state as plain data. */
  save(): PlainState {
    const state: Values = {}
    for (const { name, part, isFlat } of this.#fields) {
      const saved = part === null ? copyOf(this.#record[name]) : part.save()
      if (isFlat) Object.assign(state, saved)
      else if (saved !== undefined) state[name] = saved
    }
    return state
  }

  /**
   * Takes over a saved state.
   *
   * @throws the package's error, `ERR_STATE`, for a state of another version or shape: then nothing has changed
   */
  restore(state: unknown): void {
    const fault = this.stateFault(state)
    if (fault !== undefined) {
      const end = fault.indexOf(' ')
      const device = this.#device ?? (this as { readonly name?: string }).name
      const [path, what] = [fault.slice(1, end), fault.slice(end)]
      if (end > 0) this.refuseState(`${device}: ${path} of the saved state${what}`)
      this.refuseState(
        `${device}: ${what.startsWith(' is of') ? `saved state${what.slice(3)}` : `the saved state${what}`}`,
      )
    }
    for (const { name, part, powerOn, isFlat, isRecent } of this.#fields) {
      const saved = isFlat ? state : (state as Values)[name]
      if (part === null) this.#record[name] = copyOf(saved === undefined ? powerOn : saved)
      else if (saved === undefined && isRecent) part.reset?.()
      else part.restore(saved as never)
    }
    this.#settled?.()
  }

  /** Returns to the power-on state. */
  reset(): void {
    for (const { name, part, powerOn, isLasting } of this.#fields) {
      if (isLasting) continue
      if (part === null) this.#record[name] = copyOf(powerOn)
      else part.reset?.()
    }
    this.#settled?.()
  }

  /** Returns the invalid part of a saved state, by path; undefined: valid. Nothing is changed. */
  stateFault(state: unknown): string | undefined {
    const version = this.#record['version'] as number | undefined
    const found = (state as Values | null | undefined)?.['version']
    if (version !== undefined && found !== version)
      return ` is of version ${String(found)}: expected ${String(version)}`
    if (typeof state !== 'object' || state === null) return shapeFault('', state, {}, true)
    for (const { name, part, powerOn, isFlat, isRecent, isFree } of this.#fields) {
      const saved = isFlat ? state : (state as Values)[name]
      if ((saved === undefined && isRecent) || isFree) continue
      // A null field accepts only null.
      const exact = saved === null && powerOn !== undefined && powerOn !== null
      const fault = part === null ? shapeFault('', saved, powerOn ?? null, exact) : part.stateFault?.(saved)
      if (fault !== undefined) return isFlat ? fault : `.${name}${fault}`
    }
    return undefined
  }
}

/**
 * Returns a part that saves the values of registers as a list, in the order of their names. Registers without a saved value are
 * reset.
 */
export function listed(registers: { [name: string]: number }): StatePart {
  const powerOn = { ...registers }
  return {
    save: () => Object.values(registers),
    restore: (values: readonly number[]) => {
      for (const [i, name] of Object.keys(powerOn).entries()) registers[name] = values[i] ?? powerOn[name]!
    },
    reset: () => void Object.assign(registers, powerOn),
    stateFault: (values) => shapeFault('', values, Array.isArray(values) ? values.map(() => 0) : [], true),
  }
}

/** Returns a part that is saved as plain data; a saved one has the shape of the present data. */
export function viewed<T>(save: () => T, restore: (state: T) => void): StatePart {
  return { save, restore, stateFault: (state) => shapeFault('', state, save(), true) }
}

class Fields extends Stateful {
  constructor(record: object, rules: StateRules<never>) {
    super()
    this.keeps(record, rules)
  }
}

/** Returns a part that saves the fields of a record under their names, by the rules of {@link Stateful}. */
export function fieldsPart<T extends object>(record: T, rules: StateRules<keyof T & string> = {}): StatePart {
  return new Fields(record, rules as StateRules<never>)
}

const NOTHING: StatePart = { save: () => null, restore: () => {} }

const isPart = (value: unknown): value is StatePart =>
  typeof value === 'object' && value !== null && 'save' in value && 'restore' in value

function partOf(value: unknown): StatePart | null {
  if (isPart(value)) return value
  if (typeof value === 'function') return partWhen(value as () => unknown)
  if (typeof value !== 'object' || value === null) return null
  const instantFault = (state: unknown): string | undefined => shapeFault('', state, { lo: 0, hi: 0 })
  if (value instanceof Instant)
    return { save: () => value.save(), restore: (state: Instant) => void value.set(state), stateFault: instantFault }
  if ('readDeadline' in value) {
    const timer = value as Timer
    const restore = (state: Instant | null): void => restoreDeadline(timer, state)
    return { save: () => savedDeadline(timer), restore, reset: () => timer.cancel(), stateFault: instantFault }
  }
  if (ArrayBuffer.isView(value)) return wordsOf(value as Uint32Array)
  if (value instanceof Set || value instanceof Map) return entriesOf(value)
  return Array.isArray(value) && value.some((each) => partOf(each) !== null) ? partsOf(value) : null
}

/** A part that exists only after the model is attached. */
function partWhen(get: () => unknown): StatePart {
  const part = (): StatePart | null => {
    const value = get()
    return Array.isArray(value) ? partsOf(value) : partOf(value)
  }
  return {
    save: () => part()?.save() ?? null,
    restore: (state) => part()?.restore(state),
    reset: () => part()?.reset?.(),
    stateFault: (state) => part()?.stateFault?.(state),
  }
}

function wordsOf(words: Uint32Array, raw = false): StatePart {
  const powerOn = words.slice()
  return {
    save: () => (raw ? words.slice() : [...words]),
    restore: (list: readonly number[]) => words.fill(0).set(list),
    reset: () => words.set(powerOn),
    stateFault: (list) =>
      raw
        ? (shapeFault('', list, words, true) ?? countFault(list, words.length))
        : shapeFault('', list, [...words], true),
  }
}

function entriesOf(entries: Set<unknown> | Map<unknown, unknown>): StatePart {
  return {
    save: () => copyOf([...entries]),
    restore: (list: readonly unknown[]) => {
      entries.clear()
      for (const each of list as readonly [unknown, unknown][])
        if (entries instanceof Set) entries.add(each)
        else entries.set(each[0], each[1])
    },
    reset: () => entries.clear(),
    stateFault: (list) => shapeFault('', list, entries instanceof Set ? [] : [[]], list === null),
  }
}

function partsOf(values: readonly unknown[]): StatePart {
  const parts = values.map((value) => partOf(value) ?? NOTHING)
  return {
    save: () => parts.map((part) => part.save()),
    restore: (list: readonly never[]) => parts.forEach((part, i) => part.restore(list[i]!)),
    reset: () => parts.forEach((part) => part.reset?.()),
    stateFault: (list) => {
      const fault = shapeFault('', list, [], list === null) ?? countFault(list, parts.length)
      for (let i = 0; fault === undefined && i < parts.length; i++) {
        const own = parts[i]!.stateFault?.((list as readonly unknown[])[i])
        if (own !== undefined) return `[${i}]${own}`
      }
      return fault
    },
  }
}

function countFault(list: unknown, expected: number): string | undefined {
  const { length } = list as readonly unknown[]
  return length === expected ? undefined : ` has ${length} elements: expected ${expected}`
}

import type { Removable } from './stop-points.ts'
import { type Catching, type ExceptionNames, type MonitorCommand, parseAddress } from './monitor.ts'
import { MachineError } from '../errors.ts'
import { describePlace, type MachinePlace } from './stop-places.ts'

/** Numbered stops of a debugger, as its user sets and deletes them. */
export class StopList {
  readonly #stopAt: (place: MachinePlace) => Removable
  readonly #nameOf: (vector: number) => string
  readonly #set = new Map<number, { readonly place: MachinePlace; readonly stop: Removable }>()
  #last = 0

  /** @param nameOf - the name of an exception */
  constructor(stopAt: (place: MachinePlace) => Removable, nameOf: (vector: number) => string) {
    this.#stopAt = stopAt
    this.#nameOf = nameOf
  }

  /** Adds a stop. @returns its line of the list @throws MachineError `ERR_OPTION` for a place that cannot be */
  add(place: MachinePlace): string {
    const stop = this.#stopAt(place)
    this.#set.set(++this.#last, { place, stop })
    return this.#line(this.#last, place)
  }

  /** Deletes a stop by its number. @returns whether the stop existed */
  delete(number: number): boolean {
    this.#set.get(number)?.stop.remove()
    return this.#set.delete(number)
  }

  /** Deletes all. */
  clear(): void {
    for (const number of this.#set.keys()) this.delete(number)
  }

  /** The list, in lines. */
  text(): string {
    return [...this.#set].map(([number, { place }]) => this.#line(number, place)).join('')
  }

  #line(number: number, place: MachinePlace): string {
    return `${number}: ${describePlace(place, this.#nameOf)}\n`
  }
}

/** The stops that `monitor` sets. */
export interface MonitorStops {
  /** The stops of `break`. */
  readonly list: StopList
  /** The stops of `catch`. */
  readonly catching: Catching
}

/** Parses the argument of `break`; undefined: not a place. */
function parsePlace(given: readonly string[], names: ExceptionNames): MachinePlace | undefined {
  const [kind, first, ...others] = given
  if (kind === 'exception') {
    const vector = first === undefined || others.length > 0 ? undefined : names.parse(first)
    return vector === undefined ? undefined : { kind: 'handler', vector }
  }
  if (kind !== 'port' && kind !== 'mmio' && kind !== 'msr') return undefined
  const last = others.at(-1)
  const access = last === 'read' || last === 'write' ? last : 'access'
  const [count = '1', ...more] = access === 'access' ? others : others.slice(0, -1)
  const [address, length] = [parseAddress(first), parseAddress(count)]
  if (address === undefined || length === undefined || more.length > 0) return undefined
  return { kind, address: Number(address), count: Number(length), access }
}

/** `break` and `delete`. */
export function breakCommands(list: StopList, names: ExceptionNames): readonly MonitorCommand[] {
  return [
    {
      usage: 'break [port|mmio|msr ADDRESS [COUNT] [read|write]|exception VECTOR]',
      help: "stop after such an access, or before an exception's handler; without a place, list them",
      run: (_cpu, given) => {
        if (given.length === 0) return list.text() || 'There is no such stop.\n'
        const place = parsePlace(given, names)
        if (place === undefined)
          return 'write break port, mmio or msr, an address, how many and read or write; or break exception and a vector\n'
        try {
          return list.add(place)
        } catch (error) {
          if (error instanceof MachineError && error.code === 'ERR_OPTION') return `${error.message}\n`
          throw error
        }
      },
    },
    {
      usage: 'delete NUMBER|all',
      help: 'delete a stop that break has set',
      run: (_cpu, [number = '']) => {
        if (number === 'all') list.clear()
        else if (!/^\d{1,9}$/.test(number) || !list.delete(Number(number)))
          return `'${number.slice(0, 40)}' is no stop: monitor break lists them\n`
        return list.text() || 'There is no such stop.\n'
      },
    },
  ]
}

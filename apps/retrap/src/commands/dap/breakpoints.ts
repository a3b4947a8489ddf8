import type { DebugProtocol } from '@vscode/debugprotocol'
import type { MachineDebug } from './machine-debug.ts'

/** A breakpoint that the user wants. */
interface Wanted {
  readonly id: number
  readonly place: Place
  addresses: readonly bigint[]
}

/** A place whose address may be unknown yet: Linux's symbols are in memory only after it was loaded. */
export interface Place {
  /** The kind of breakpoint, for reporting a stop. */
  readonly reason: 'breakpoint' | 'function breakpoint' | 'instruction breakpoint'
  /** Returns the addresses of the place; empty: they are not known yet. */
  readonly find: () => readonly bigint[]
  /** Why this machine has no breakpoints, as a sentence for the user. */
  readonly lack: string
  /** Number of the line in a source. */
  readonly line?: number
}

/** The breakpoints of all kinds. A request of the client replaces the breakpoints of its kind. */
export class Breakpoints {
  readonly #machine: MachineDebug
  readonly #sets = new Map<string, readonly Wanted[]>()
  #count = 0

  constructor(machine: MachineDebug) {
    this.#machine = machine
  }

  /** Replaces a set of breakpoints. @param key - name of the set @returns one breakpoint for each place */
  set(key: string, places: readonly Place[]): DebugProtocol.Breakpoint[] {
    for (const { addresses } of this.#sets.get(key) ?? [])
      for (const address of addresses) this.#machine.removeBreakpoint(address)
    const wanted = places.map((place): Wanted => ({ id: ++this.#count, place, addresses: [] }))
    this.#sets.set(key, wanted)
    for (const each of wanted) this.#find(each)
    return wanted.map(describe)
  }

  /** Looks again for places that were not known. @returns the breakpoints whose places are known now */
  lookAgain(): DebugProtocol.Breakpoint[] {
    return [...this.#sets.values()]
      .flat()
      .filter((each) => each.addresses.length === 0 && this.#find(each))
      .map(describe)
  }

  /** Forgets the addresses of named places: another machine's kernel lies elsewhere. */
  forget(): void {
    for (const wanted of [...this.#sets.values()].flat()) {
      if (wanted.place.reason === 'instruction breakpoint') continue
      for (const address of wanted.addresses) this.#machine.removeBreakpoint(address)
      wanted.addresses = []
    }
  }

  /** The breakpoints at an address. */
  at(address: bigint): { readonly ids: readonly number[]; readonly reason: Place['reason'] } | undefined {
    const hit = [...this.#sets.values()].flat().filter(({ addresses }) => addresses.includes(address))
    const [first] = hit
    return first && { ids: hit.map(({ id }) => id), reason: first.place.reason }
  }

  #find(wanted: Wanted): boolean {
    wanted.addresses = wanted.place.find()
    for (const address of wanted.addresses) this.#machine.addBreakpoint(address)
    return wanted.addresses.length > 0
  }
}

function describe({ id, place: { lack, line }, addresses }: Wanted): DebugProtocol.Breakpoint {
  const [first] = addresses
  return {
    id,
    verified: first !== undefined,
    ...(line !== undefined && { line }),
    ...(first === undefined ? { message: lack } : { instructionReference: `0x${first.toString(16)}` }),
  }
}

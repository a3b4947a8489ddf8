import type { Fault } from './faults.ts'
import type { Links, LinkTrouble } from './links.ts'

/** The faults of links that last at present. Several of one link add up. */
export class ActiveFaults {
  readonly #links: Links
  readonly #names: readonly string[]
  readonly #all = new Set<Fault>()

  /** @param names - of the machines, in their order */
  constructor(links: Links, names: readonly string[]) {
    this.#links = links
    this.#names = names
  }

  /** A fault begins. */
  begin(fault: Fault): void {
    this.#all.add(fault)
    this.#apply()
  }

  /** A fault ends, if it lasts still. */
  end(fault: Fault): void {
    if (this.#all.delete(fault)) this.#apply()
  }

  #apply(): void {
    for (const [from, one] of this.#names.entries())
      for (const [to, other] of this.#names.entries()) {
        const faults = [...this.#all].filter((fault) => concerns(fault, one, other))
        this.#links.cut(
          from,
          to,
          faults.some(({ kind }) => kind === 'partition'),
        )
        this.#links.trouble(from, to, troubleOf(faults))
      }
  }
}

function concerns({ kind, cut, machines }: Fault, from: string, to: string): boolean {
  if (kind === 'partition') return cut?.includes(`${from}>${to}`) === true
  return machines === undefined || machines.includes(from) || machines.includes(to)
}

function troubleOf(faults: readonly Fault[]): LinkTrouble {
  const amounts = (kind: Fault['kind']): number[] =>
    faults.flatMap((fault) => (fault.kind === kind ? [fault.amount ?? 0] : []))
  // Each by itself spares a part.
  const any = (kind: Fault['kind']): number => 1 - amounts(kind).reduce((spared, amount) => spared * (1 - amount), 1)
  return {
    ...{ loss: any('loss'), duplicate: any('duplicate'), reorder: any('reorder'), corrupt: any('corrupt') },
    delayNs: amounts('delay').reduce((sum, amount) => sum + amount, 0),
  }
}

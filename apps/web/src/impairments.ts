import type { Impairment, Machine } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'

/** Names the contents of all disks among the devices. */
export const DISKS = 'contents of disks'

const NONE: Required<Impairment> = { delayMs: 0, dead: false }

/** The devices that are slowed, or fail, by the user's wish. */
export interface Impairments {
  of(name: string): Required<Impairment>
  /** Names of the devices that are slowed, or fail. */
  readonly names: readonly string[]
  set(name: string, impairment: Required<Impairment>): void
  /** Has all devices work as usual. */
  readonly reset: () => void
}

/** Slows a device, or has it fail. @throws WebError */
async function apply(machine: Machine, name: string, impairment: Required<Impairment>): Promise<void> {
  if (name !== DISKS) return machine.impairDevice(name, impairment)
  machine.setDiskDelay(impairment.delayMs)
  machine.setDisksFail(impairment.dead)
}

/** Keeps the impairments of a machine's devices, whichever panel is open. */
export function useImpairments(
  machine: Machine | null,
  attempt: (action: () => Promise<unknown>) => void,
): Impairments {
  const [all, setAll] = useState<ReadonlyMap<string, Required<Impairment>>>(new Map())
  useEffect(() => setAll(new Map()), [machine])
  const put = (name: string, impairment: Required<Impairment>): void =>
    setAll((before) => {
      const next = new Map(before)
      if (impairment.delayMs > 0 || impairment.dead) next.set(name, impairment)
      else next.delete(name)
      return next
    })
  const of = (name: string): Required<Impairment> => all.get(name) ?? NONE
  const set = (name: string, impairment: Required<Impairment>): void => {
    if (machine === null) return
    const before = of(name)
    put(name, impairment)
    attempt(async () => {
      try {
        await apply(machine, name, impairment)
      } catch (error) {
        put(name, before)
        throw error
      }
    })
  }
  return { of, names: [...all.keys()], set, reset: () => [...all.keys()].forEach((name) => set(name, NONE)) }
}

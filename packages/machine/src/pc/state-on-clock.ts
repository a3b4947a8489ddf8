import { DeterministicClock, type DomainState } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import { ADDED_RAM_AT, addedRam } from '../acpi/resources.ts'
import { GENERATION_MODEL } from '../board/board-description.ts'
import { MachineError } from '../errors.ts'
import { firstOf } from '../lifecycle/host.ts'
import { CHIPSETS, type MachineType } from '../machine-type.ts'
import type { PcOptions } from '../options/pc-options.ts'
import type { PcSnapshotState } from '../options/pc-snapshot.ts'
import type { MachineState } from '../snapshot/snapshots.ts'

/** The part of a state that is read before any check: the state may be arbitrary data. */
interface GivenState {
  readonly machine?: { readonly clock?: unknown } | null
  readonly domain?: { readonly clock?: { readonly time?: unknown } | null } | null
}

/** The state of a round that has not begun. */
const NEW_ROUND = { version: 1, next: 0, begun: false, inTurn: false, left: 0, spent: 0, ran: false } as const

/** Fields of the real-time clocks' states about the host's clock: without them a clock continues from the displayed time. */
const WITHOUT_HOST = {
  mc146818: { wallSeconds: null, reference: null, absence: 0, hiddenUntil: null },
  pl031: { wallSeconds: null },
} as const

/** The state of a machine of any board that has random numbers. */
type ClockedState = MachineState & { readonly random: number | null }

/**
 * Returns the state of a machine converted to another clock, such as a recorded machine's. Guest time continues without a gap. A state
 * that already uses this clock is returned unchanged; so is invalid data, which the machine refuses later.
 *
 * @param seed - begins the random numbers of a machine on deterministic time, as `PcOptions.entropySeed`; a machine on the real clock
 * has the host's
 * @throws MachineError `ERR_OPTION` for another clock, and for a seed that is not of 32 bits
 */
export function stateOnClock<S extends ClockedState>(
  state: S,
  clock: NonNullable<PcOptions['clock']>,
  seed: number,
): S {
  if (clock !== 'real' && clock !== 'deterministic')
    throw new MachineError('ERR_OPTION', `clock ${String(clock)}: expected real or deterministic`)
  if (seed !== seed >>> 0) throw new MachineError('ERR_OPTION', `seed ${seed}: expected a whole number of 32 bits`)
  const { machine, domain } = (state ?? {}) as GivenState
  if (machine?.clock === undefined || machine.clock === clock || domain?.clock?.time === undefined) return state
  const isExact = clock === 'deterministic'
  return {
    ...state,
    machine: { ...state.machine, clock },
    random: isExact ? firstOf(seed) : null,
    domain: { ...state.domain, ...timeOn(state.domain, isExact), devices: withoutHost(state.domain.devices) },
  }
}

/**
 * Returns the state of a PC for a machine with more RAM. The new VM generation notifies the guest, and Linux then adds the RAM. A
 * state with as much RAM is returned unchanged.
 *
 * @throws MachineError `ERR_OPTION` for less RAM, for more than lies below 4 GiB, and for a machine without `generation`
 */
export function stateWithMemory(state: PcSnapshotState, memoryBytes: number): PcSnapshotState {
  const { machine, domain } = state
  const before = machine.memoryBytes
  if (before === memoryBytes) return state
  const { lowRamLimit } = CHIPSETS[machine.machine as MachineType]
  const known = domain.devices.memories.find(({ device }) => device === GENERATION_MODEL)
  if (known === undefined || memoryBytes < before || memoryBytes > lowRamLimit) {
    const why = `${memoryBytes} bytes of RAM for a saved machine with ${before}`
    throw new MachineError('ERR_OPTION', `${why}: expected a machine with generation, and at most ${lowRamLimit} bytes`)
  }
  const contents = known.contents.slice()
  contents.set(addedRam(before, memoryBytes - 1), ADDED_RAM_AT)
  const frames = domain.frames.map((run) =>
    run.gfn + run.count === before / PAGE_BYTES ? { ...run, count: memoryBytes / PAGE_BYTES - run.gfn } : run,
  )
  const memories = domain.devices.memories.map((one) => (one === known ? { ...one, contents } : one))
  return {
    ...state,
    machine: { ...machine, memoryBytes },
    domain: { ...domain, frames, devices: { ...domain.devices, memories } },
  }
}

/** The time of a domain on the other clock. */
function timeOn({ clock, round }: DomainState, isExact: boolean): Pick<DomainState, 'clock' | 'round'> {
  const from = new DeterministicClock(undefined, clock.time)
  if (isExact) return { clock: from.save(), round: NEW_ROUND }
  // The guest may have seen the time of instructions that its clock has not counted yet.
  from.advance(round?.spent ?? 0)
  return { clock: { version: 1, time: from.save().time }, round: null }
}

function withoutHost(devices: DomainState['devices']): DomainState['devices'] {
  const { local, servers } = devices
  const changed = <Host extends typeof local>(host: Host): Host => {
    const found = Object.entries(WITHOUT_HOST).flatMap(([model, fields]) => {
      const clock = host.devices[model]
      return clock === undefined ? [] : [[model, { ...(clock as object), ...fields }]]
    })
    return { ...host, devices: { ...host.devices, ...Object.fromEntries(found) } }
  }
  const others = Object.entries(servers ?? {}).map(([name, host]) => [name, changed(host)] as const)
  return { ...devices, local: changed(local), servers: Object.fromEntries(others) }
}

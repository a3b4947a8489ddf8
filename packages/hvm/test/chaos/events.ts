/**
 * What may happen to a vCPU whose instruction waits. Those that cancel it (Intel SDM vol. 3A, "Processor State after
 * Initialization"; `reference/replay.md`, "Cancellation") leave it as if it had come before the instruction; the rest
 * disturb nothing.
 */
import { type AccessLog, type SavedLog, AccessKind } from '@retrap/replay'
import { restoreVcpu, type SavedCpu } from '@retrap/x86-cpu'
import { CODE, MODES, initialState } from './layout.ts'
import type { ChaosMachine } from './machine.ts'

/** Events that cancel the instruction. */
export const CANCELLATIONS = [
  /** Of the bootstrap processor, which goes to the reset vector. */
  'INIT',
  /** Of another, which waits for a start-up IPI. */
  'INIT of an AP',
  'INIT and SIPI',
  /** Of the domain. */
  'reset',
  /** The registers that a boot protocol asks for. */
  'load',
  /** The vCPU's registers as they were before the instruction. */
  'set-context',
  /** Nothing but that: the instruction begins anew. */
  'cancel',
] as const
export type Cancellation = (typeof CANCELLATIONS)[number]

/** Events that leave it alone. */
export const UNDISTURBING = [
  /** To a processor that does not wait for one. */
  'SIPI',
  /** A system-management interrupt, whose handler ends at once. */
  'SMI',
  /** The machine's state at the end of the instruction, in another machine. */
  'snapshot',
  /** The log, to plain data and back. */
  'log as data',
] as const
export type Happening = Cancellation | (typeof UNDISTURBING)[number]
export const HAPPENINGS: readonly Happening[] = [...CANCELLATIONS, ...UNDISTURBING]

/** What an instruction is waiting for while it happens. */
export const WAITING_FOR = [
  ...['fetch', 'first access', 'later access', 'second half', 'iterations'],
  ...['event delivery', 'task switch', 'page tables', 'memory'],
] as const
export type WaitingFor = (typeof WAITING_FOR)[number]

/** What is to happen, and when. */
export interface Plan {
  readonly happening: Happening
  /** Number of the wait, from 1 on: of those that count. */
  left: number
  /** What it is to wait for; default anything. */
  readonly only: WaitingFor | undefined
  /** Guest frame that is paged out when the instruction begins; −1 for none. */
  readonly pagedOut: number
  /** The device has heard of the access before that happens, not after it. */
  readonly heard: boolean
  /** The late answer comes before the vCPU goes on. */
  readonly drained: boolean
  readonly mode: number
  context: SavedCpu | undefined
  switchesTask: boolean
}

export function isCancellation(happening: Happening): happening is Cancellation {
  return (CANCELLATIONS as readonly string[]).includes(happening)
}

const MSI_ADDRESS = 0xfee0_0000
const DELIVER_SMI = 0x200
const DELIVER_INIT = 0x500
const DELIVER_SIPI = 0x600
/** The page of a start-up IPI: HLT all over. */
const STARTUP_PAGE = (CODE >>> 12) + 1

/** Lets an event cancel what a machine's vCPU is in the middle of, if it is. */
export function cancelBy(machine: ChaosMachine, { happening, mode, context }: Plan): void {
  const { cpu, domain } = machine
  switch (happening) {
    case 'INIT':
    case 'INIT of an AP':
    case 'INIT and SIPI':
      machine.quietly(() => domain.interrupts.signalMsi(MSI_ADDRESS, DELIVER_INIT))
      cpu.run(0)
      if (happening === 'INIT and SIPI')
        machine.quietly(() => domain.interrupts.signalMsi(MSI_ADDRESS, DELIVER_SIPI | STARTUP_PAGE))
      break
    case 'reset':
      machine.quietly(() => domain.reset())
      machine.bootstrap = true
      break
    case 'load':
      cpu.load(initialState(MODES[mode]!))
      break
    case 'set-context':
      restoreVcpu(cpu, context!)
      break
    default:
      cpu.cancel()
  }
  machine.enableApic()
}

/** A start-up IPI for a vCPU that is running. */
export function sendStartup(machine: ChaosMachine): void {
  machine.quietly(() => machine.domain.interrupts.signalMsi(MSI_ADDRESS, DELIVER_SIPI | STARTUP_PAGE))
}

/** A system-management interrupt, as a chipset's message. */
export function sendSmi(machine: ChaosMachine): void {
  machine.quietly(() => machine.domain.interrupts.signalMsi(MSI_ADDRESS, DELIVER_SMI))
}

/** Replaces a log by itself. */
export function logAsData(log: AccessLog): void {
  log.restore(JSON.parse(JSON.stringify(log.save())) as SavedLog)
}

/**
 * What the access is that a log waits with.
 *
 * @param fetches - whether a device's address is one that code is fetched from
 */
export function waitingFor(log: AccessLog, fetches: (gpa: number) => boolean): WaitingFor {
  const { pending } = log
  const address = log.addressLo(pending)
  if (log.tag(pending) >>> 16 >= 0x80) return 'iterations'
  if (log.kind(pending) === AccessKind.MMIO_READ && fetches(address)) return 'fetch'
  let earlier = false
  for (let i = pending - 1; i >= 0; i--) {
    const kind = log.kind(i)
    if (kind < AccessKind.READ || (kind === AccessKind.MMIO_READ && fetches(log.addressLo(i)))) continue
    if (!earlier && address % 0x1000 === 0 && (log.addressLo(i) + log.size(i)) % 0x1000 === 0) {
      if (log.tag(i) >>> 16 === log.tag(pending) >>> 16) return 'second half'
    }
    earlier = true
  }
  return earlier ? 'later access' : 'first access'
}

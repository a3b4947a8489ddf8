import type { TimerQueue } from '@retrap/device/host'
import type { DevicePlatform } from '@retrap/device-hosting'
import { type FrameCounts, type P2m, P2mEntry } from '@retrap/p2m'
import type { MachineMemory } from '@retrap/memory'
import type { Architecture, Paravirtual, VirtualCpu } from './virtual-cpu.ts'
import type { DomainClock } from './clock.ts'
import type { DirtyLogs } from './memory/dirty-logs.ts'
import type { GuestMemory } from './memory/guest-memory.ts'
import type { ModelMappings, GuestMemoryHandles } from './memory/model-mappings.ts'
import type { OwnedMemories } from './memory/owned-memories.ts'
import type { SecondLevelFaults } from './memory/second-level.ts'
import type { RunState } from './scheduling/run-state.ts'

/** The domain that device models reach. */
interface ReachedDomain {
  readonly clock: DomainClock
  readonly timers: TimerQueue
  readonly memory: MachineMemory
  readonly p2m: P2m
  readonly frameCounts: FrameCounts
  readonly guestMemory: GuestMemory
  readonly mappings: ModelMappings
  readonly ownedMemories: OwnedMemories
  readonly dirtyLogs: DirtyLogs
  readonly secondLevel: SecondLevelFaults
  readonly sharesFrames: boolean
  /** Defined after the models' host. */
  readonly architecture: Architecture<VirtualCpu>
}

/**
 * Returns a domain's interface for device models, in any thread or process.
 *
 * @param paravirtual - returns the hypervisor's own interface that the guest sees just now
 */
export function platformOf(
  domain: ReachedDomain,
  run: RunState,
  paravirtual: () => Paravirtual | null,
): DevicePlatform {
  const { memory, mappings, timers } = domain
  const entry = new P2mEntry()
  const handles: GuestMemoryHandles = { memory: memory.memory, p2m: domain.p2m.ma, frameCounts: domain.frameCounts.ma }
  return {
    clock: domain.clock,
    timer: (callback) => timers.create(callback),
    timerArmed: () => run.wake(),
    dma: domain.guestMemory,
    openMemory: (device) => mappings.open(device),
    ownMemory: (device, options) => domain.ownedMemories.open(device, options),
    ...(memory.shared && { sharedMemory: handles }),
    modifiedMemory: (gfn, count) => domain.dirtyLogs.modified(gfn, count),
    announcesWrites: () => domain.sharesFrames || domain.dirtyLogs.beforeWrites !== null,
    writingMemory: (gfn, count) => {
      for (let at = gfn; at < gfn + count; at++) domain.secondLevel.lookup(at, entry)
      domain.dirtyLogs.beforeWrites?.(gfn, count)
    },
    interruptLine: (irq) => domain.architecture.interruptLine(irq),
    pciInterrupt: (device, pin) => domain.architecture.pciInterrupt(device, pin),
    hasPortZero: () => domain.architecture.hasPortZero ?? false,
    signalMsi: (address, data, requester) => {
      if (paravirtual()?.takesMessage(address, data) === true) return
      domain.architecture.signalMsi(address, data, requester)
    },
    powerOff: () => run.stop({ reason: 'power-off' }),
    reset: () => run.stop({ reason: 'reset' }),
    exit: (code) => run.stop({ reason: 'debug-exit', code }),
  }
}

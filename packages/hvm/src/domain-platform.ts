import type { TimerQueue } from '@retrap/device/host'
import type { DevicePlatform } from '@retrap/device-host'
import type { FrameCounts, P2m } from '@retrap/p2m'
import type { MachineMemory } from '@retrap/memory'
import type { Architecture, Paravirtual, VirtualCpu } from './virtual-cpu.ts'
import type { DomainClock } from './clock.ts'
import type { DirtyLogs } from './memory/dirty-logs.ts'
import type { GuestMemory } from './memory/guest-memory.ts'
import type { ModelMappings, GuestMemoryHandles } from './memory/model-mappings.ts'
import type { OwnedMemories } from './memory/owned-memories.ts'
import type { RunState } from './scheduling/run-state.ts'

/** The parts of a domain that device models reach. */
interface PlatformParts {
  readonly clock: DomainClock
  readonly timers: TimerQueue
  readonly memory: MachineMemory
  readonly p2m: P2m
  readonly frameCounts: FrameCounts
  readonly guestMemory: GuestMemory
  readonly mappings: ModelMappings
  readonly ownedMemories: OwnedMemories
  readonly dirtyLogs: DirtyLogs
  /** Comes after the models' host. */
  readonly architecture: () => Architecture<VirtualCpu>
  readonly paravirtual: () => Paravirtual | null
  readonly run: RunState
}

/** A domain as device models reach it, wherever they live. */
export function platformOf(parts: PlatformParts): DevicePlatform {
  const { memory, mappings, timers, architecture, run } = parts
  const handles: GuestMemoryHandles = { memory: memory.memory, p2m: parts.p2m.ma, frameCounts: parts.frameCounts.ma }
  return {
    clock: parts.clock,
    timer: (callback) => timers.create(callback),
    timerArmed: () => run.wake(),
    dma: parts.guestMemory,
    openMemory: (device) => mappings.open(device),
    ownMemory: (device, options) => parts.ownedMemories.open(device, options),
    ...(memory.shared && { sharedMemory: handles }),
    modifiedMemory: (gfn, count) => parts.dirtyLogs.modified(gfn, count),
    interruptLine: (irq) => architecture().interruptLine(irq),
    pciInterrupt: (device, pin) => architecture().pciInterrupt(device, pin),
    hasPortZero: () => architecture().hasPortZero ?? false,
    signalMsi: (address, data, requester) => {
      if (parts.paravirtual()?.takesMessage(address, data) === true) return
      architecture().signalMsi(address, data, requester)
    },
    powerOff: () => run.stop({ reason: 'power-off' }),
    reset: () => run.stop({ reason: 'reset' }),
    exit: (code) => run.stop({ reason: 'debug-exit', code }),
  }
}

import { describeThrown } from '@retrap/device/host'
import type { FinalExit } from './sleep.ts'
import type { CrashDetail } from './crash.ts'

/** Why the `run` of a machine ended. */
export interface MachineExit {
  /** Why the machine ended; after `timeout` and `stopped` the machine can be run on. */
  readonly reason:
    | 'power-off'
    | 'reset'
    | 'debug-exit'
    | 'triple-fault'
    | 'guest-crash'
    | 'suspend'
    | 'timeout'
    | 'stopped'
    /** No machine memory is left for a copy of RAM that other clones have too. */
    | 'out-of-memory'
    /** A device model has broken its contract, or is gone. */
    | 'device-failure'
    | 'internal-error'
  /** `debug-exit`: the process's exit status that the device asked for. */
  readonly code?: number
  /** `triple-fault`, `guest-crash`, `out-of-memory`, `device-failure` and `internal-error`. */
  readonly detail?: CrashDetail
}

/** The name of the server of models in the machine's process, which says nothing to people. */
const IN_PROCESS = 'devices'

/** Describes a crash of a vCPU: its registers and its current instruction. */
export type DescribeCrash = (vcpu: number, message: string) => CrashDetail

/**
 * Converts a domain's exit to a machine's, with a text for people.
 *
 * @param describe - knows the processor's registers
 */
export function machineExit(exit: FinalExit, describe: DescribeCrash): MachineExit {
  switch (exit.reason) {
    case 'debug-exit':
      return { reason: 'debug-exit', code: exit.code }
    case 'vcpu-shutdown':
      return {
        reason: 'triple-fault',
        detail: describe(exit.vcpu, `vCPU ${exit.vcpu} shut down after a triple fault`),
      }
    case 'guest-shutdown': {
      if (exit.code === 'suspend') return { reason: 'suspend' }
      // The guest asks for its memory to survive; a PC that is reset starts without.
      if (exit.code === 'soft-reset') return { reason: 'reset' }
      const what =
        exit.code === 'watchdog' ? 'a watchdog of the guest has bitten' : 'the guest says that it has crashed'
      return { reason: 'guest-crash', detail: describe(exit.vcpu, what) }
    }
    case 'internal-error': {
      const text = describeThrown(exit.error, true)
      return { reason: 'internal-error', detail: describe(exit.vcpu, text) }
    }
    case 'device-failure': {
      const { serverName, device, request, cause } = exit.failure
      const of = [device, IN_PROCESS].includes(serverName) ? '' : ` of ${serverName}`
      return {
        reason: 'device-failure',
        detail: { message: `${device}${of} (${request}): ${describeThrown(cause)}` },
      }
    }
    case 'memory-failure': {
      const { vcpu, gfn, cause, error } = exit.failure
      if (cause === 'unreadable') {
        const what = `the saved contents of guest frame 0x${gfn.toString(16)} cannot be read`
        return { reason: 'internal-error', detail: { message: `${what}: ${describeThrown(error)}` } }
      }
      if (cause === 'no-copy') {
        const what = `guest frame 0x${gfn.toString(16)} cannot be written: no machine memory is left for a copy of it`
        const message = `${what}; close clones, or make the machine with a larger forks.writtenBytes`
        return { reason: 'out-of-memory', detail: vcpu < 0 ? { message } : describe(vcpu, message) }
      }
      const text = `guest frame 0x${gfn.toString(16)} cannot be accessed: ${cause}`
      return { reason: 'internal-error', detail: describe(vcpu, text) }
    }
    default:
      return { reason: exit.reason }
  }
}

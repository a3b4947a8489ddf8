import { describeArgument } from '@retrap/basics'
import type { AccessLog } from '@retrap/replay'
import { requireObject, ArmMmioError } from './checks.ts'
import type { DeviceOrder } from './serialise.ts'
import type { ArmVcpu } from './vcpu.ts'
import type { ArmWorld } from './world.ts'

/** Options of an `ArmEmulator`. */
export interface ArmEmulatorOptions {
  /** Decode the instruction even where the syndrome is valid: for processors with erratum 766422. */
  readonly alwaysDecode?: boolean
  /**
   * A valid syndrome always describes the whole access: ISV is clear where an access has aborted at its second page. Then none at the first byte of a page is decoded to tell. Default false, as for hardware.
   */
  readonly wholeSyndromes?: boolean
  /** Stop all other vCPUs between translating PC and reading the instruction. The world must have `stopWorld`. */
  readonly stopWorld?: boolean
  /** The action where the instruction cannot be emulated: an external abort, or the caller decides. */
  readonly undecodable?: 'inject' | 'report'
  /** Bytes of DC ZVA: 4 << DCZID_EL0.BS. */
  readonly zeroBlockBytes?: number
  /** The form in which memory copies keep their progress: an option of the Arm ARM. */
  readonly copyOption?: 'A' | 'B'
  /** The log; default a new one of the vCPU. */
  readonly log?: AccessLog
}

/** Checks an emulator's arguments. @throws ArmMmioError `ERR_OPTION` */
export function checkOptions(vcpu: ArmVcpu, world: ArmWorld, order: DeviceOrder, options: ArmEmulatorOptions): void {
  requireObject(vcpu, 'the vCPU', 'ERR_OPTION')
  requireObject(world, 'the world', 'ERR_OPTION')
  requireObject(order, 'the order', 'ERR_OPTION')
  requireObject(options, 'the options', 'ERR_OPTION')
  const { zeroBlockBytes = 64, undecodable = 'inject', copyOption = 'A' } = options
  if (undecodable !== 'inject' && undecodable !== 'report') {
    throw new ArmMmioError('ERR_OPTION', `undecodable is ${describeArgument(undecodable)}, expected inject or report`)
  }
  if (copyOption !== 'A' && copyOption !== 'B') {
    throw new ArmMmioError('ERR_OPTION', `copyOption is ${describeArgument(copyOption)}, expected A or B`)
  }
  if (![16, 32, 64, 128, 256, 512, 1024, 2048].includes(zeroBlockBytes)) {
    throw new ArmMmioError(
      'ERR_OPTION',
      `zeroBlockBytes is ${describeArgument(zeroBlockBytes)}; it must be a power of two from 16 to 2048`,
    )
  }
  if (options.stopWorld === true && (world.stopWorld === undefined || world.resumeWorld === undefined)) {
    throw new ArmMmioError('ERR_OPTION', 'stopWorld is asked for, and the world has no stopWorld and resumeWorld')
  }
}

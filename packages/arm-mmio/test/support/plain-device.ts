/** A world whose device is an array, and an emulator with one abort that is taken again and again: for measurements. */
import { AccessKind, type AccessLog } from '@retrap/replay'
import { type ArmAbort, ArmEmulator, type ArmEmulatorOptions, type AccessStatus, STATUS_DONE } from '@retrap/arm-mmio'
import { abortAt, CODE_BASE, DEVICE_BASE, FlatWorld, flatVcpu, soleOrder } from './flat-world.ts'

/** A device of 32-bit registers that answers at once. */
class PlainDevice extends FlatWorld {
  readonly registers: Uint32Array = new Uint32Array(1024)

  override device(log: AccessLog, index: number): AccessStatus {
    const register = (log.addressLo(index) & 0xfff) >>> 2
    if (log.kind(index) === AccessKind.MMIO_WRITE) this.registers[register] = log.dataLo(index)
    else log.setData(index, this.registers[register] as number, 0)
    return STATUS_DONE
  }
}

/** `ldr w1, [x2, #64]` or `str`. */
const LOAD = 0xb940_4041
const STORE = 0xb900_4041

/** ISV, a word, W1. */
const VALID = (1 << 24) | (2 << 22) | (1 << 16)

/**
 * A function that completes one abort.
 *
 * @param valid - the syndrome is; otherwise the instruction is fetched through stage 1 and decoded
 */
export function abortLoop(write: boolean, valid: boolean, options: ArmEmulatorOptions = {}): () => void {
  const world = new PlainDevice()
  const vcpu = flatVcpu(false)
  new DataView(world.ram.buffer).setUint32(CODE_BASE, write ? STORE : LOAD, true)
  vcpu.x[4] = DEVICE_BASE
  const plain = abortAt(DEVICE_BASE + 64, write)
  const abort: ArmAbort = { ...plain, esr: valid ? (plain.esr | VALID) >>> 0 : plain.esr }
  const emulator = new ArmEmulator(vcpu, world, soleOrder(), options)
  return () => {
    vcpu.pc[0] = CODE_BASE
    if (emulator.handle(abort) !== STATUS_DONE) throw new Error('the abort was not completed')
  }
}

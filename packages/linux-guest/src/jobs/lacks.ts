/** Tells of an instruction that the processor of a guest lacks. */
import type { Pc } from '@retrap/machine'
import { CS, MODE_64 } from '@retrap/x86-cpu'

/** An instruction that a program could not execute. */
export interface RefusedInstruction {
  /** The instruction's bytes, perhaps followed by others. */
  readonly bytes: Uint8Array
  readonly mode: 32 | 64
}

/** Bytes of the longest instruction. */
const LONGEST = 15
const VECTOR_UD = 6
/** The privilege level of programs. */
const USER = 3

/** Calls `hear` with each instruction of a program that raises #UD, without affecting the guest's execution. */
export function watchRefused({ domain }: Pick<Pc, 'domain'>, hear: (refused: RefusedInstruction) => void): void {
  for (const { cpu, translation } of domain.vcpus)
    cpu.watch({
      event({ kind, vector }) {
        if (vector !== VECTOR_UD || kind !== 'exception' || cpu.registers.cpl !== USER) return
        const { registers } = cpu
        const mode = registers.mode === MODE_64 ? 64 : 32
        const address = BigInt.asUintN(mode, registers.segmentBase(CS) + registers.rip)
        hear({ bytes: translation.peekCode(address, LONGEST), mode })
      },
    })
}

/**
 * Says what a processor lacks for an instruction, as the end of a sentence.
 *
 * @param cpu - model as in `--cpu`
 * @returns undefined where the processor lacks nothing: the instruction is there to raise #UD, as UD2, or is not allowed
 */
export async function lackOf({ bytes, mode }: RefusedInstruction, cpu = 'max'): Promise<string | undefined> {
  const [{ decode }, { CPU_MODELS, cpuModel, Processor }] = await Promise.all([
    import('@retrap/x86-decoder'),
    import('@retrap/x86-cpu'),
  ])
  const model = cpuModel(cpu)
  const { status, mnemonic, info } = decode(bytes, {
    mode,
    vendor: model.vendor === 'AuthenticAMD' ? 'amd' : 'intel',
  })
  const isLong = mode === 64
  if (status !== 'decoded' || info.feature === '' || new Processor(model).executes(info, isLong)) return undefined
  const other = CPU_MODELS.find((one) => new Processor(one.model).executes(info, isLong))
  return `the instruction ${mnemonic.toLowerCase()} (${info.feature.replaceAll('+', ' and ')}) is not there in the CPU model ${cpu}; ${
    other === undefined ? 'no model has it' : `--cpu ${other.name} has it`
  }`
}

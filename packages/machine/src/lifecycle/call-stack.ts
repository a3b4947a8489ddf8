import type { X86Domain, X86Vcpu } from '@retrap/hvm'
import { CR0_PG, CS, MODE_32, MODE_64, SS, type CpuRegisters } from '@retrap/x86-cpu'
import { linearAddress } from './crash.ts'
import { type SampledVcpu, Sampler, type SamplingOptions } from './sampling.ts'

const RSP = 4
const RBP = 5
const MOST_CALLERS = 64
/** Largest stack frame, in bytes; a larger one ends the call stack. */
const LARGEST_FRAME = 1 << 16
/** Most bytes of a function, where only a call tells its start. */
const LARGEST_FUNCTION = 1 << 12
/** Bytes of the longest CALL before a return address: FF /2 with SIB byte and 32-bit displacement. */
const LONGEST_CALL = 7
const CALL_RELATIVE = 0xe8
const CALL_RELATIVE_BYTES = 5
const GROUP_5 = 0xff
/** Lengths of FF /2: with a register or [register], SIB byte or 8-bit displacement, both, 32-bit displacement, that and SIB. */
const INDIRECT_CALL_BYTES = [2, 3, 4, 6, 7]

/** Bits of CR3 that are the tables' address: the others are PCID and cache controls. */
const CR3_TABLES = 0x000f_ffff_ffff_f000n
const RING_3 = 3

/** Starts the sampling profiler of a PC. */
export const samplePc = (domain: X86Domain, options: SamplingOptions): void =>
  domain.watchTurns(new Sampler(domain, sampledVcpus(domain), options))

const sampledVcpus = (domain: X86Domain): SampledVcpu[] =>
  domain.vcpus.map((vcpu) => ({
    sampleAfter: (cost, sample) => vcpu.cpu.sampleAfter(cost, sample),
    look() {
      const { registers } = vcpu.cpu
      return {
        address: linearAddress(vcpu),
        callers: callersOf(vcpu),
        stackPointer: stackPointer(registers),
        isUser: registers.cpl === RING_3,
        pageTables: pageTablesOf(registers),
      }
    },
    peek: (linear, into) => vcpu.translation.peek(linear, into),
  }))

/** The address of the page tables; undefined without paging. */
export const pageTablesOf = ({ cr0, cr3 }: CpuRegisters): bigint | undefined =>
  (cr0 & CR0_PG) === 0 ? undefined : cr3 & CR3_TABLES

/** The linear address of the top of the stack. */
export function stackPointer(registers: CpuRegisters): bigint {
  const [base, bits] = registers.mode === MODE_64 ? [0n, 64] : [registers.segmentBase(SS), 32]
  return BigInt.asUintN(bits, base + registers.general[RSP]!)
}

/**
 * Finds the callers of the code that a vCPU executes, by its frame pointers.
 *
 * Code without frame pointers holds anything in RBP, so an address counts as a return address only where a CALL stands
 * before it, and frames follow each other upwards. A function without a frame of its own has its direct caller found if
 * the return address is on top of the stack. Changes nothing of the guest.
 *
 * @returns linear return addresses, the innermost caller first
 */
export function callersOf(vcpu: X86Vcpu): bigint[] {
  const { registers } = vcpu.cpu
  const wordBytes = wordBytesOf(registers)
  if (wordBytes === 0) return []
  const stackBase = registers.mode === MODE_64 ? 0n : registers.segmentBase(SS)
  const codeBase = registers.mode === MODE_64 ? 0n : registers.segmentBase(CS)
  const mask = wordBytes === 8 ? 64 : 32
  const word = (at: bigint): bigint | undefined => readWord(vcpu, BigInt.asUintN(mask, stackBase + at), wordBytes)
  const callers: bigint[] = []
  const top = BigInt.asUintN(mask, registers.general[RSP]!)
  const direct = word(top)
  if (direct !== undefined && callsNear(vcpu, codeBase + direct, linearAddress(vcpu))) callers.push(codeBase + direct)
  let below = top
  let frame = BigInt.asUintN(mask, registers.general[RBP]!)
  while (callers.length < MOST_CALLERS && frame >= below && frame - below < LARGEST_FRAME) {
    const next = word(frame)
    const back = word(frame + BigInt(wordBytes))
    if (next === undefined || back === undefined || !followsCall(vcpu, codeBase + back)) break
    callers.push(codeBase + back)
    below = frame + 1n
    frame = next
  }
  return callers
}

/** Bytes of a return address; 0 in 16-bit code, whose frames this does not follow. */
export function wordBytesOf({ mode }: CpuRegisters): 0 | 4 | 8 {
  return mode === MODE_64 ? 8 : mode === MODE_32 ? 4 : 0
}

/** Whether a CALL stands before a return address. */
export function followsCall(vcpu: X86Vcpu, address: bigint): boolean {
  const bytes = bytesBefore(vcpu, address)
  if (bytes === undefined) return false
  if (bytes[LONGEST_CALL - CALL_RELATIVE_BYTES] === CALL_RELATIVE) return true
  return INDIRECT_CALL_BYTES.some((length) => {
    const at = LONGEST_CALL - length
    return bytes[at] === GROUP_5 && ((bytes[at + 1]! >> 3) & 7) === 2
  })
}

/** Whether a direct CALL before a return address leads to a place shortly before `target`. */
export function callsNear(vcpu: X86Vcpu, address: bigint, target: bigint, largest: number = LARGEST_FUNCTION): boolean {
  const bytes = bytesBefore(vcpu, address)
  if (bytes?.[LONGEST_CALL - CALL_RELATIVE_BYTES] !== CALL_RELATIVE) return false
  const displacement = new DataView(bytes.buffer).getInt32(LONGEST_CALL - 4, true)
  const into = target - (address + BigInt(displacement))
  return into >= 0 && into < largest
}

// SMEP and SMAP restrict a supervisor, not this profiler: read as a debugger does.

function bytesBefore({ translation }: X86Vcpu, address: bigint): Uint8Array | undefined {
  if (address < LONGEST_CALL) return undefined
  const bytes = new Uint8Array(LONGEST_CALL)
  return translation.peek(address - BigInt(LONGEST_CALL), bytes) === LONGEST_CALL ? bytes : undefined
}

/** Reads an aligned word of RAM, without setting accessed bits. @returns undefined for unmapped addresses and for device memory */
export function readWord({ translation }: X86Vcpu, at: bigint, bytes: 4 | 8): bigint | undefined {
  if (at % BigInt(bytes) !== 0n) return undefined
  const word = new Uint8Array(8)
  const isThere = translation.peek(at, word.subarray(0, bytes)) === bytes
  return isThere ? new DataView(word.buffer).getBigUint64(0, true) : undefined
}

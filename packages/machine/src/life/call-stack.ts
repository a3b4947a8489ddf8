import type { X86Domain, X86Vcpu } from '@retrap/hvm'
import { CS, MODE_32, MODE_64, SS, type CpuRegisters } from '@retrap/x86-cpu'

const RSP = 4
const RBP = 5
const MOST_CALLERS = 64
/** A frame is not larger than this. */
const LARGEST_FRAME = 1 << 16
/** A function is not larger than this, where nothing but a call tells where it begins. */
const LARGEST_FUNCTION = 1 << 12
/** Bytes of the longest CALL before a return address: FF /2 with SIB byte and 32-bit displacement. */
const LONGEST_CALL = 7
const CALL_RELATIVE = 0xe8
const CALL_RELATIVE_BYTES = 5
const GROUP_5 = 0xff
/** Lengths of FF /2: with a register or [register], SIB byte or 8-bit displacement, both, 32-bit displacement, that and SIB. */
const INDIRECT_CALL_BYTES = [2, 3, 4, 6, 7]

/** Returns the linear address of the next instruction. */
export function linearAddress({ cpu: { registers } }: X86Vcpu): bigint {
  const address = registers.segmentBase(CS) + registers.rip
  return BigInt.asUintN(registers.mode === MODE_64 ? 64 : 32, address)
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
export function callersOf(domain: X86Domain, vcpu: X86Vcpu): bigint[] {
  const { registers } = vcpu.cpu
  const wordBytes = wordBytesOf(registers)
  if (wordBytes === 0) return []
  const stackBase = registers.mode === MODE_64 ? 0n : registers.segmentBase(SS)
  const codeBase = registers.mode === MODE_64 ? 0n : registers.segmentBase(CS)
  const mask = wordBytes === 8 ? 64 : 32
  const word = (at: bigint): bigint | undefined =>
    readWord(domain, vcpu, BigInt.asUintN(mask, stackBase + at), wordBytes)
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
function wordBytesOf({ mode }: CpuRegisters): 0 | 4 | 8 {
  return mode === MODE_64 ? 8 : mode === MODE_32 ? 4 : 0
}

/** Whether a CALL stands before a return address. */
function followsCall(vcpu: X86Vcpu, address: bigint): boolean {
  const bytes = bytesBefore(vcpu, address)
  if (bytes === undefined) return false
  if (bytes[LONGEST_CALL - CALL_RELATIVE_BYTES] === CALL_RELATIVE) return true
  return INDIRECT_CALL_BYTES.some((length) => {
    const at = LONGEST_CALL - length
    return bytes[at] === GROUP_5 && ((bytes[at + 1]! >> 3) & 7) === 2
  })
}

/** Whether a direct CALL before a return address leads to a place shortly before `target`. */
function callsNear(vcpu: X86Vcpu, address: bigint, target: bigint): boolean {
  const bytes = bytesBefore(vcpu, address)
  if (bytes?.[LONGEST_CALL - CALL_RELATIVE_BYTES] !== CALL_RELATIVE) return false
  const displacement = new DataView(bytes.buffer).getInt32(LONGEST_CALL - 4, true)
  const into = target - (address + BigInt(displacement))
  return into >= 0 && into < LARGEST_FUNCTION
}

function bytesBefore(vcpu: X86Vcpu, address: bigint): Uint8Array | undefined {
  if (address < LONGEST_CALL) return undefined
  const bytes = vcpu.translation.peekCode(address - BigInt(LONGEST_CALL), LONGEST_CALL)
  return bytes.length === LONGEST_CALL ? bytes : undefined
}

/** Reads an aligned word of RAM, and sets no accessed bits. @returns undefined where there is none */
function readWord({ memory, secondLevel }: X86Domain, vcpu: X86Vcpu, at: bigint, bytes: 4 | 8): bigint | undefined {
  if (at % BigInt(bytes) !== 0n) return undefined
  const gpa = vcpu.translation.linearToPhysical(Number(at & 0xffff_ffffn), Number(at >> 32n))
  const ma = gpa < 0 ? -1 : secondLevel.peek(gpa)
  if (ma < 0) return undefined
  const lo = memory.u32[ma >>> 2]!
  return bytes === 4 ? BigInt(lo) : (BigInt(memory.u32[(ma + 4) >>> 2]!) << 32n) | BigInt(lo)
}

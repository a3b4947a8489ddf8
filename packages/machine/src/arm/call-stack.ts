import type { ArmDomain, ArmVcpu } from '@retrap/hvm/arm'
import type { SampledVcpu } from '../lifecycle/sampling.ts'
import type { Place, SteppedCode } from '../recording/call-steps.ts'

const FRAME_POINTER = 29
const LINK = 30
const MOST_CALLERS = 64
/** Largest stack frame, in bytes; a larger one ends the call stack. */
const LARGEST_FRAME = 1 << 16
/** Most bytes of a function, where only a call tells its start. */
const LARGEST_FUNCTION = 1 << 12
/** Bytes of a frame record: the caller's X29, and X30. */
const RECORD_BYTES = 16
const INSTRUCTION_BYTES = 4
/** PSTATE.nRW and the exception level. */
const PSTATE_NRW = 0x10
const PSTATE_EL = 0xc
/** SCTLR_EL1.M: stage 1 is on. */
const SCTLR_M = 1n
/** Bits of TTBR0_EL1 that are the tables' address. */
const TTBR_TABLES = 0xffff_ffff_fffen
/** Bits of an address; higher bits hold a signature or tag, and equal bit 55 in a plain address. */
const ADDRESS_BITS = 48
const UPPER_HALF = 1n << 55n

/** Returns an Arm board's vCPUs for a profiler to sample. */
export const sampledArmVcpus = (domain: ArmDomain): SampledVcpu[] =>
  domain.vcpus.map((vcpu) => {
    const { processor } = vcpu
    const { registers } = processor
    return {
      sampleAfter: (cost, sample) => processor.sampleAfter(cost, sample),
      look: () => ({
        address: registers.pc,
        callers: armCallersOf(vcpu),
        stackPointer: (registers.pstate & PSTATE_NRW) === 0 ? registers.sp : BigInt.asUintN(32, registers.x(13)),
        isUser: (registers.pstate & PSTATE_EL) === 0,
        pageTables:
          (registers.get('sctlr_el1') & SCTLR_M) === 0n ? undefined : registers.get('ttbr0_el1') & TTBR_TABLES,
      }),
      peek: (linear, into) => vcpu.translation.peek(linear, into),
    }
  })

/**
 * Finds the callers of the A64 code that a vCPU executes, by its frame records.
 *
 * Code without them may have anything in X29, so an address counts as a return address only where a BL or BLR stands before
 * it, and records follow each other upwards on the stack. A function that has not stored X30 has its direct caller found if
 * that has called a place shortly before. Changes nothing of the guest.
 *
 * @returns return addresses, without their signatures, the innermost caller first; none of AArch32 code
 */
export const armCallersOf = (vcpu: ArmVcpu): bigint[] => returnsOf(vcpu).map(({ address }) => address)

/** A return address, the least stack pointer behind the return, and the bytes by which that may be higher. */
interface Return extends Pick<Place, 'address' | 'stack'> {
  readonly room: bigint
}

function returnsOf(vcpu: ArmVcpu): Return[] {
  const { registers } = vcpu.processor
  const callers: Return[] = []
  if ((registers.pstate & PSTATE_NRW) !== 0) return callers
  const record = new Uint8Array(RECORD_BYTES)
  const view = new DataView(record.buffer)
  const direct = withoutSignature(registers.x(LINK))
  let below = registers.sp
  let frame = registers.x(FRAME_POINTER)
  // The record is stored, and X29 does not lead to it yet.
  const entry = below + storedBytes(wordBefore(vcpu, registers.pc))
  if (callsNear(vcpu, direct, registers.pc)) callers.push({ address: direct, stack: entry, room: roomTo(frame, entry) })
  while (callers.length < MOST_CALLERS && frame >= below && frame - below < LARGEST_FRAME && frame % 8n === 0n) {
    if (vcpu.translation.peek(frame, record) < RECORD_BYTES) break
    const back = withoutSignature(view.getBigUint64(8, true))
    if (!isCall(wordBefore(vcpu, back))) break
    const stack = frame + BigInt(RECORD_BYTES)
    below = frame + 1n
    frame = view.getBigUint64(0, true)
    callers.push({ address: back, stack, room: roomTo(frame, stack) })
  }
  return callers
}

/** The code of an Arm vCPU, for steps over calls: A64 code. Interrupted places are not found on the stack. */
export const armStepped = (vcpu: ArmVcpu): SteppedCode => ({
  get place() {
    return placeOf(vcpu)
  },
  get callBytes() {
    const word = wordBefore(vcpu, vcpu.processor.nextAddress + BigInt(INSTRUCTION_BYTES))
    return isCall(word) || isServiceCall(word) ? INSTRUCTION_BYTES : 0
  },
  get returning() {
    const word = wordBefore(vcpu, vcpu.processor.nextAddress + BigInt(INSTRUCTION_BYTES))
    if (!isReturn(word) && !isExceptionReturn(word)) return undefined
    return { popped: 0n, isFromInterrupt: isExceptionReturn(word) }
  },
  get callers() {
    const here = placeOf(vcpu)
    return returnsOf(vcpu).map(({ room, ...found }) => ({ place: { ...here, ...found }, room, isInterrupted: false }))
  },
  callsBefore: (address) => {
    const word = wordBefore(vcpu, address)
    return isCall(word) || isServiceCall(word) ? [address - BigInt(INSTRUCTION_BYTES)] : []
  },
  watchEvents(told) {
    const { processor } = vcpu
    const { watching } = processor
    processor.watch({
      instruction: watching?.instruction,
      event: (event) => {
        watching?.event?.(event)
        told(event.syndrome >>> 26)
      },
    })
    return { remove: () => processor.watch(watching) }
  },
})

function placeOf({ processor }: ArmVcpu): Place {
  const { registers, nextAddress } = processor
  const isUser = (registers.pstate & PSTATE_EL) === 0
  const tables = isUser ? registers.get('ttbr0_el1') & TTBR_TABLES : undefined
  return { address: nextAddress, stack: registers.sp, tables }
}

/** Pointer authentication puts a signature into the upper bits of an address. */
function withoutSignature(address: bigint): bigint {
  return (address & UPPER_HALF) === 0n
    ? BigInt.asUintN(ADDRESS_BITS, address)
    : address | BigInt.asUintN(64, -1n << BigInt(ADDRESS_BITS))
}

/** Returns the instruction before a return address; 0, which is no call, if memory has none. */
function wordBefore(vcpu: ArmVcpu, address: bigint): number {
  const bytes = new Uint8Array(INSTRUCTION_BYTES)
  if (
    address < INSTRUCTION_BYTES ||
    vcpu.translation.peek(address - BigInt(INSTRUCTION_BYTES), bytes) < INSTRUCTION_BYTES
  )
    return 0
  return new DataView(bytes.buffer).getUint32(0, true)
}

const isDirectCall = (word: number): boolean => word >>> 26 === 0b10_0101

/** BL, BLR, and BLR by a signed pointer. Source: Arm ARM DDI 0487, C4.1, "Branches, exception generating and system instructions". */
const isCall = (word: number): boolean =>
  isDirectCall(word) || (word & 0xffff_fc1f) >>> 0 === 0xd63f_0000 || (word & 0xfeff_f800) >>> 0 === 0xd63f_0800

/** SVC, HVC and SMC return to the instruction behind them. */
const isServiceCall = (word: number): boolean => (word & 0xffe0_001c) >>> 0 === 0xd400_0000 && (word & 3) !== 0

/** RET, and RETAA and RETAB. */
const isReturn = (word: number): boolean =>
  (word & 0xffff_fc1f) >>> 0 === 0xd65f_0000 || (word & 0xffff_fbff) >>> 0 === 0xd65f_0bff

/** ERET, and ERETAA and ERETAB. */
const isExceptionReturn = (word: number): boolean =>
  (word & 0xffff_f3ff) >>> 0 === 0xd69f_03e0 || (word & 0xffff_fbff) >>> 0 === 0xd69f_0bff

/** The stack pointer of a caller is not above its own frame record. */
const roomTo = (frame: bigint, stack: bigint): bigint =>
  frame >= stack && frame - stack < LARGEST_FRAME ? frame - stack : BigInt(LARGEST_FRAME)

/** STP or LDP of X29 and X30, by the stack pointer, without the bits of the index mode and the offset. */
const RECORD_MASK = 0xfe40_7fff
const STORES_RECORD = 0xa800_7bfd
const LOADS_RECORD = 0xa840_7bfd

/** Bytes by which STP X29, X30 with a pre-index has lowered the stack pointer; 0 for another instruction. */
function storedBytes(word: number): bigint {
  const isPreIndex = (word & RECORD_MASK) >>> 0 === STORES_RECORD && ((word >>> 23) & 3) === 3
  return isPreIndex ? BigInt(-8 * ((word << 10) >> 25)) : 0n
}

/** Whether the function from `start` on has X29 lead to a frame record of its own before it executes the code at `pc`. */
function hasRecord(vcpu: ArmVcpu, start: bigint, pc: bigint): boolean {
  const bytes = new Uint8Array(Number(pc - start))
  if (vcpu.translation.peek(start, bytes) < bytes.length) return false
  let [has, hasBefore] = [false, false]
  for (const word of new Uint32Array(bytes.buffer)) {
    // ADD X29, SP, #n
    if ((word & 0xffc0_03ff) >>> 0 === 0x9100_03fd) has = hasBefore = true
    else if ((word & RECORD_MASK) >>> 0 === LOADS_RECORD) has = false
    // Code behind a return is come to from before the epilogue.
    else if (isReturn(word)) has = hasBefore
  }
  return has
}

/** Whether X30 is the return address of the function at `target`: the BL before X30 leads to it, or shortly before it. */
function callsNear(vcpu: ArmVcpu, address: bigint, target: bigint): boolean {
  const word = wordBefore(vcpu, address)
  if (!isDirectCall(word)) return false
  const displacement = ((word << 6) >> 6) * INSTRUCTION_BYTES
  const start = address - BigInt(INSTRUCTION_BYTES) + BigInt(displacement)
  // A function that has called another holds its own address in X30.
  return start <= target && target - start < LARGEST_FUNCTION && !hasRecord(vcpu, start, target)
}

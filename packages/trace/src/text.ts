import { formatA32, formatA64, formatThumb } from '@retrap/arm-decoder'
import { formatTrace } from '@retrap/ioreq'
import { ACCESS_FETCH, ACCESS_USER, ACCESS_WRITE } from '@retrap/paging'
import { decode, formatIntel } from '@retrap/x86-decoder'
import type {
  AccessRecord,
  ExceptionRecord,
  InstructionRecord,
  InstructionSet,
  TraceRecord,
  WalkRecord,
} from './record.ts'

/** Exceptions by vector. Source: Intel SDM vol. 3A, "Exception and Interrupt Reference". */
const EXCEPTIONS: readonly string[] =
  '#DE #DB NMI #BP #OF #BR #UD #NM #DF 9 #TS #NP #SS #GP #PF 15 #MF #AC #MC #XM #VE #CP'.split(' ')

/** Exception classes of Arm; pairs are of EL0 and EL1. Source: Arm ARM (DDI 0487) D24.2.40, "ESR_EL1", field EC. */
const CLASSES: ReadonlyMap<number, string> = new Map([
  [0x00, 'undefined instruction'],
  [0x07, 'floating point'],
  [0x0d, 'branch target'],
  [0x0e, 'illegal state'],
  [0x18, 'system register'],
  [0x20, 'instruction abort'],
  [0x21, 'instruction abort'],
  [0x22, 'PC alignment'],
  [0x24, 'data abort'],
  [0x25, 'data abort'],
  [0x26, 'SP alignment'],
  [0x30, 'breakpoint'],
  [0x31, 'breakpoint'],
  [0x32, 'software step'],
  [0x33, 'software step'],
  [0x34, 'watchpoint'],
  [0x35, 'watchpoint'],
  [0x38, 'BKPT'],
  [0x3c, 'BRK'],
])

/** Writes a record as a line without its end: time, instructions of the vCPU, event. */
export function formatRecord(record: TraceRecord): string {
  const vcpu = record.vcpu < 0 ? '' : `vcpu ${record.vcpu} `
  return `[${(record.ns / 1e9).toFixed(9)} #${record.instructions}] ${vcpu}${describeRecord(record)}`
}

/** Describes a record's event, without time and vCPU. */
export function describeRecord(record: TraceRecord): string {
  switch (record.kind) {
    case 'insn':
      return `insn ${hex(record.address)}: ${instructionText(record)}`
    case 'block':
      return `block ${hex(record.address)}–${hex(record.end)}: ${record.executed} instructions`
    case 'irq': {
      const hasVector = record.event !== 'nmi' && record.vector >= 0
      const what = hasVector ? `interrupt 0x${record.vector.toString(16)} of ` : ''
      return `${what}${record.source} at ${hex(record.address)}`
    }
    case 'exceptions': {
      if (record.syndrome !== undefined) return armExceptionText(record, record.syndrome)
      const error = record.errorCode === undefined ? '' : ` error 0x${record.errorCode.toString(16)}`
      const cr2 = record.cr2 === undefined ? '' : ` CR2 ${hex(record.cr2)}`
      return `exception ${exceptionName(record)}${error}${cr2} at ${hex(record.address)}`
    }
    case 'pagewalk':
      return `walk ${hex(record.linear)}: ${walkText(record)}`
    default:
      return accessText(record)
  }
}

/** Returns the name of an exception, such as `#PF`, or of its class, such as `data abort`. */
export function exceptionName({ vector, syndrome }: Pick<ExceptionRecord, 'vector' | 'syndrome'>): string {
  if (syndrome !== undefined) return CLASSES.get(vector) ?? `class 0x${vector.toString(16)}`
  return EXCEPTIONS[vector] ?? String(vector)
}

function armExceptionText(record: ExceptionRecord, syndrome: number): string {
  const far = record.far === undefined ? '' : ` FAR ${hex(record.far)}`
  return `exception ${exceptionName(record)} ESR 0x${syndrome.toString(16)}${far} at ${hex(record.address)}`
}

/** An instruction: Intel's syntax, or Arm's. */
export function instructionText({ bytes, mode, address }: InstructionRecord): string {
  if (typeof mode === 'number') return formatIntel(decode(bytes, { mode, address }))
  return armText(bytes, mode, address) ?? 'undefined'
}

function armText(bytes: Uint8Array, mode: InstructionSet, address: bigint): string | undefined {
  const half = (at: number): number => bytes[at]! | (bytes[at + 1]! << 8)
  if (bytes.length < 2 || (mode !== 't32' && bytes.length < 4)) return undefined
  if (mode === 't32') return formatThumb(half(0), bytes.length < 4 ? 0 : half(2), { address })
  const word = (half(0) | (half(2) << 16)) >>> 0
  return mode === 'a64' ? formatA64(word, { address }) : formatA32(word, { address })
}

/** Formats an access with its device. */
export function accessText({ access, waitedMs }: AccessRecord): string {
  const waited = waitedMs === undefined ? '' : ` after ${waitedMs.toFixed(3)} ms`
  return `ioreq ${formatTrace({ ...access, vcpu: -1, server: access.device })}${waited}`
}

function walkText({ access, gpa, pageBytes, reads, errorCode, faultStatus }: WalkRecord): string {
  const who = (access & ACCESS_USER) === 0 ? 'supervisor' : 'user'
  const what = (access & ACCESS_FETCH) !== 0 ? 'fetch' : (access & ACCESS_WRITE) !== 0 ? 'write' : 'read'
  const found =
    gpa === undefined
      ? faultStatus === undefined
        ? `#PF error 0x${errorCode!.toString(16)}`
        : `fault status 0x${faultStatus.toString(16)}`
      : `gpa 0x${gpa.toString(16)}, page of ${pageBytes / 1024} KiB`
  return `${who} ${what} → ${found}, ${reads} entries read`
}

function hex(address: bigint): string {
  return address.toString(16).padStart(address > 0xffff_ffffn ? 16 : 8, '0')
}

import { formatTrace } from '@retrap/ioreq'
import { ACCESS_FETCH, ACCESS_USER, ACCESS_WRITE } from '@retrap/paging'
import { decode, formatIntel } from '@retrap/x86-decoder'
import type { AccessRecord, InstructionRecord, TraceRecord, WalkRecord } from './record.ts'

/** Exceptions by vector. Source: Intel SDM vol. 3A, "Exception and Interrupt Reference". */
const EXCEPTIONS: readonly string[] =
  '#DE #DB NMI #BP #OF #BR #UD #NM #DF 9 #TS #NP #SS #GP #PF 15 #MF #AC #MC #XM #VE #CP'.split(' ')

/** Writes a record as a line without its end: time, instructions of the vCPU, what happened. */
export function formatRecord(record: TraceRecord): string {
  const vcpu = record.vcpu < 0 ? '' : `vcpu ${record.vcpu} `
  return `[${(record.ns / 1e9).toFixed(9)} #${record.instructions}] ${vcpu}${describeRecord(record)}`
}

/** Says what happened, without time and vCPU. */
export function describeRecord(record: TraceRecord): string {
  switch (record.kind) {
    case 'insn':
      return `insn ${hex(record.address)}: ${instructionText(record)}`
    case 'block':
      return `block ${hex(record.address)}–${hex(record.end)}: ${record.executed} instructions`
    case 'irq': {
      const what = record.event === 'interrupt' ? `interrupt 0x${record.vector.toString(16)} of ` : ''
      return `${what}${record.source} at ${hex(record.address)}`
    }
    case 'exceptions': {
      const error = record.errorCode === undefined ? '' : ` error 0x${record.errorCode.toString(16)}`
      const cr2 = record.cr2 === undefined ? '' : ` CR2 ${hex(record.cr2)}`
      return `exception ${exceptionName(record.vector)}${error}${cr2} at ${hex(record.address)}`
    }
    case 'pagewalk':
      return `walk ${hex(record.linear)}: ${walkText(record)}`
    default:
      return accessText(record)
  }
}

/** The name of an exception, such as `#PF`. */
export function exceptionName(vector: number): string {
  return EXCEPTIONS[vector] ?? String(vector)
}

/** An instruction in Intel's syntax. */
export function instructionText({ bytes, mode, address }: InstructionRecord): string {
  return formatIntel(decode(bytes, { mode, address }))
}

/** An access, with its device. */
export function accessText({ access, waitedMs }: AccessRecord): string {
  const waited = waitedMs === undefined ? '' : ` after ${waitedMs.toFixed(3)} ms`
  return `ioreq ${formatTrace({ ...access, vcpu: -1, server: access.device })}${waited}`
}

function walkText({ access, gpa, pageBytes, reads, errorCode }: WalkRecord): string {
  const who = (access & ACCESS_USER) === 0 ? 'supervisor' : 'user'
  const what = (access & ACCESS_FETCH) !== 0 ? 'fetch' : (access & ACCESS_WRITE) !== 0 ? 'write' : 'read'
  const found =
    gpa === undefined
      ? `#PF error 0x${errorCode!.toString(16)}`
      : `gpa 0x${gpa.toString(16)}, page of ${pageBytes / 1024} KiB`
  return `${who} ${what} → ${found}, ${reads} entries read`
}

function hex(address: bigint): string {
  return address.toString(16).padStart(address > 0xffff_ffffn ? 16 : 8, '0')
}

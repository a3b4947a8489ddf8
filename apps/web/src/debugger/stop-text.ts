import type { TravelStop, CallView, WriterView } from '@retrap/web'

/** Functions that an answer names. */
const MOST_CALLS = 4

/** Returns a function's name without the offset in it. */
const functionOf = ({ name, address }: CallView): string => name?.replace(/\+0x[\da-f]+$/, '') ?? hex(address)

/** Names the writer of a place. */
export function writerText(what: string, writer: WriterView): string {
  switch (writer.by) {
    case 'instruction': {
      const { task, calls, cpu, address } = writer
      const [first, ...callers] = calls
      const source = first?.source ?? null
      const at = source === null ? '' : `, ${source}`
      const named = first === undefined ? hex(address) : functionOf(first)
      if (task === null) {
        const isNamed = first !== undefined && first.name !== null
        return `${what}: the instruction at ${hex(address)}${isNamed ? `, ${named}${at},` : ''} of vCPU ${cpu} wrote it.`
      }
      const by = callers.filter(({ name }) => name !== null).slice(0, MOST_CALLS - 1)
      const called = by.length === 0 ? '' : `, called by ${by.map(functionOf).join(' ← ')}`
      return `${what}: it was pid ${task.pid}, ${task.name}, in ${named}${at}${called}.`
    }
    case 'device':
      return `${what}: the device ${writer.device} wrote it, by DMA.`
    case 'machine':
      return `${what}: the machine wrote it, between two instructions.`
    case 'nobody':
      return `${what}: nobody has written it since the recording began.`
    case 'unknown':
      return `${what}: that is not known: ${writer.message}.`
  }
}

export const hex = (address: bigint | number): string => `0x${address.toString(16)}`

const PLACES = { port: 'Port', mmio: 'Device memory', msr: 'MSR' } as const

/** Describes where the debugger has stopped. */
export function stopText(stop: TravelStop): string {
  switch (stop.reason) {
    case 'breakpoint':
      return `Breakpoint at ${hex(stop.address)}, vCPU ${stop.cpu}.`
    case 'watch':
      return `Bytes at ${hex(stop.address)} are accessed by vCPU ${stop.cpu}.`
    case 'port':
    case 'mmio':
    case 'msr': {
      const value = stop.value === undefined ? '' : ` ${hex(stop.value)}`
      return `${PLACES[stop.reason]} ${hex(stop.address)} is ${stop.write ? 'written' : 'read'} by vCPU ${stop.cpu}:${value || ' several times'}.`
    }
    case 'handler':
      return `Exception ${stop.vector}, error code ${hex(stop.errorCode)}, vCPU ${stop.cpu}.`
    case 'begin':
      return 'This is where the recording begins.'
    case 'now':
      return 'This is where the machine is.'
    case 'step':
      return ''
    case 'ended':
      return `It has ended here: ${stop.message}.`
  }
}

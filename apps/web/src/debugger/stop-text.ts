import type { TravelStop } from '@retrap/web'

/** An address for people. */
export const hex = (address: bigint | number): string => `0x${address.toString(16)}`

const PLACES = { port: 'Port', mmio: 'Device memory', msr: 'MSR' } as const

/** Says where a way has ended. */
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

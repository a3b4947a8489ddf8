import { describeArgument, hasMethods } from '@retrap/memory'
import { VapicError } from './errors.ts'
import type { VapicHost } from './host.ts'

const HOST_METHODS = [
  'registers',
  'readLinear',
  'writeLinear',
  'translate',
  'readPhysical',
  'writePhysical',
  'mapRomWritable',
  'unmapRom',
  'reportTprAccesses',
  'stopAll',
  'resumeAll',
  'dropCode',
  'useRecord',
  'findWords',
  'pollInterrupts',
] as const satisfies readonly (keyof VapicHost)[]

/** @throws VapicError `ERR_OPTION` unless `value` has the methods of a VapicHost */
export function checkHost(value: VapicHost): void {
  if (hasMethods(value)) {
    for (const name of HOST_METHODS) {
      if (!hasMethods(value, name)) throw new VapicError('ERR_OPTION', `the host has no method ${name}`)
    }
    return
  }
  throw new VapicError('ERR_OPTION', `host is ${describeArgument(value)}: expected a VapicHost`)
}

/** @throws VapicError `ERR_OPTION` unless `value` is a Uint8Array */
export function checkBytes(value: Uint8Array): void {
  if (value instanceof Uint8Array) return
  throw new VapicError('ERR_OPTION', `bytes is ${describeArgument(value)}: expected a Uint8Array`)
}

/** @throws VapicError `ERR_OPTION` unless `value` is a 32-bit address */
export function checkAddress(name: string, value: number): void {
  if (typeof value === 'number' && value >>> 0 === value) return
  throw new VapicError('ERR_OPTION', `${name} is ${describeArgument(value)}: expected an address of 32 bits`)
}

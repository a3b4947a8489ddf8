import { ArgumentChecks, hasMethods } from '@retrap/basics'
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

/** Throws a VapicError `ERR_OPTION` for an argument of the wrong type. */
export const check: ArgumentChecks = /*#__PURE__*/ new ArgumentChecks(
  (message) => new VapicError('ERR_OPTION', message),
)

/** @throws VapicError `ERR_OPTION` unless `value` has the methods of a VapicHost */
export function checkHost(value: VapicHost): void {
  if (hasMethods(value)) {
    for (const name of HOST_METHODS) {
      if (!hasMethods(value, name)) throw new VapicError('ERR_OPTION', `the host has no method ${name}`)
    }
    return
  }
  throw check.wrong('host', value, 'a VapicHost')
}

/** @throws VapicError `ERR_OPTION` unless `value` is a 32-bit address */
export function checkAddress(name: string, value: number): void {
  if (typeof value === 'number' && value >>> 0 === value) return
  throw check.wrong(name, value, 'an address of 32 bits')
}

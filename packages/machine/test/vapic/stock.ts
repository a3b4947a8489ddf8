import { readFileSync } from 'node:fs'
import { debianMembers } from '@retrap/tooling/debian'
import type { PcVapicOptions } from '../../src/index.ts'

const MEMBER = './usr/share/qemu/kvmvapic.bin'
const folders = await debianMembers([{ package: 'qemu-system-data', members: [MEMBER] }])

/** The stock option ROM, from Debian's package; undefined without apt. */
export const stockRom: Uint8Array | undefined =
  folders?.[0] === undefined ? undefined : new Uint8Array(readFileSync(`${folders[0]}/${MEMBER}`))

/** The option ROMs that tests are made with: ours, and the stock one where there is one. */
export const roms: readonly (readonly [string, PcVapicOptions])[] = [
  ['our ROM', {}],
  ...(stockRom === undefined ? [] : [['the stock ROM', { rom: stockRom }] as const]),
]

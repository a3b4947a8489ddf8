import { readFileSync } from 'node:fs'
import { debianMembers } from '@retrap/tooling/debian'

const MEMBER = './usr/share/qemu/kvmvapic.bin'
const folders = await debianMembers([{ package: 'qemu-system-data', members: [MEMBER] }])

/** The stock option ROM, from Debian's package; undefined without apt. */
export const stockRom: Uint8Array | undefined =
  folders?.[0] === undefined ? undefined : new Uint8Array(readFileSync(`${folders[0]}/${MEMBER}`))

/** The arguments of the tool `boot`: those that are options of `retrap run`, and the machines that they make. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { systemOptions } from '../../src/flags/machine-table.ts'
import { fileOptions } from '../../src/flags/machine-file/machine-file.ts'
import { BOOT_ARGUMENTS, type BootRequest } from '../../src/commands/mcp/boot-arguments.ts'
import { prepareBoot } from '../../src/commands/mcp/boot.ts'
import { NamedFolders } from '../../src/commands/mcp/folders.ts'

const folder = temporaryFolder('boot')
for (const name of ['kernel', 'initrd', 'firmware']) writeFileSync(join(folder, name), name)
writeFileSync(join(folder, 'disk.img'), new Uint8Array(1 << 20))

let folders: NamedFolders
beforeAll(async () => {
  folders = await NamedFolders.open([folder])
})

async function optionsOf(request: BootRequest): Promise<unknown> {
  const embeddedGuest = (): Uint8Array => Uint8Array.of(0xf4)
  const { board, close } = await prepareBoot(request, { folders, allowsNetwork: false, embeddedGuest, tell() {} })
  await close()
  return board
}

test.each([
  ...['kernel', 'initrd', 'append', 'firmware', 'cdrom', 'memory', 'cpus'].map((name) => [name, name] as const),
  ['board', 'machine'],
] as const)('argument %s is option --%s, as the table of options has it', (name, option) => {
  const { help, choices } = fileOptions(systemOptions(new Command())).get(option)!.row
  const { properties } = z.toJSONSchema(z.object(BOOT_ARGUMENTS), { io: 'input' })
  expect(properties![name]).toMatchObject({
    description: expect.stringContaining(help) as string,
    ...(choices !== undefined && { enum: choices }),
  })
})

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const all = { cpus: 1, jit: true, clock: 'deterministic' }

test.each<readonly [string, BootRequest, object]>([
  [
    'the small guest',
    { system: 'embedded' },
    { kind: 'pc', options: { ...all, memoryBytes: 64 << 20, firmware: Uint8Array.of(0xf4), serialPorts: 2 } },
  ],
  [
    'a board with system-management mode',
    { system: 'embedded', board: 'q35,smm=on', memory: '16M', cpus: 2 },
    { kind: 'pc', options: { machine: 'q35', smm: true, memoryBytes: 16 << 20, cpus: 2 } },
  ],
  [
    'files, and a disk',
    { system: 'files', kernel: 'kernel', initrd: 'initrd', append: 'quiet', disks: ['disk.img'], display: 'none' },
    {
      kind: 'pc',
      options: {
        ...{ ...all, memoryBytes: 512 << 20, serialPorts: 2, vga: 'none' },
        ...{ kernel: bytes('kernel'), initrd: bytes('initrd'), commandLine: 'quiet', drives: [{ media: 'disk' }] },
      },
    },
  ],
  [
    'an Arm board with an earlier interrupt controller',
    { system: 'files', kernel: 'kernel', board: 'virt,gic-version=2', disks: ['disk.img'] },
    { kind: 'virt', options: { ...all, gic: 2, kernel: bytes('kernel'), drives: [{ interface: 'virtio' }] } },
  ],
  [
    'an Arm board with firmware',
    { system: 'files', firmware: 'firmware', board: 'virt' },
    { kind: 'virt', options: { ...all, vga: 'ramfb', flash: [{ readOnly: true }] } },
  ],
])('%s', async (_, request, board) => {
  expect(await optionsOf(request)).toMatchObject(board)
})

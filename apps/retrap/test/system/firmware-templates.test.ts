/** The files of tests in `examples/firmware`, each with Debian's build of its firmware. */
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { EVERY_TEST, sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { runRetrap } from '../support/processes.ts'
import { readPng } from '../support/screens.ts'

const test = sliceTests(2)
const examples = fileURLToPath(new URL('../../examples/firmware/', import.meta.url))
const scratch = temporaryFolder('firmware')

/** A build of Debian's, and whether it shows its prompt on the screen. U-Boot of 64 bits leaves it black, in QEMU as well. */
interface Build {
  readonly file: string
  readonly from: string
  readonly members: readonly string[]
  readonly prompt: string
  readonly isShown: boolean
}

const build = (file: string, from: string, members: readonly string[], prompt: string, isShown = true): Build => ({
  ...{ file, from, members, prompt, isShown },
})

const U_BOOT = './usr/lib/u-boot'
/** Below 3 seconds each. */
const SHORT: readonly Build[] = [
  build('seabios.json', 'seabios', ['./usr/share/seabios/bios-256k.bin'], 'the boot menu comes'),
  build('u-boot.json', 'u-boot-qemu', [`${U_BOOT}/qemu-x86/u-boot.rom`], 'it says its version'),
  build('u-boot.json', 'u-boot-qemu', [`${U_BOOT}/qemu-x86_64/u-boot.rom`], 'it says its version', false),
  build('u-boot-arm64.json', 'u-boot-qemu', [`${U_BOOT}/qemu_arm64/u-boot.bin`], 'it says its version', false),
]
/** Its shell reads the serial port for a second of the guest's time: 20 seconds each. */
const EDK2: readonly Build[] = [
  build(
    'edk2.json',
    'ovmf',
    ['./usr/share/OVMF/OVMF_CODE_4M.fd', './usr/share/OVMF/OVMF_VARS_4M.fd'],
    'the shell says its version',
  ),
  build(
    'edk2-arm64.json',
    'qemu-efi-aarch64',
    ['./usr/share/qemu-efi-aarch64/QEMU_EFI.fd'],
    'the shell says its version',
  ),
]

async function reachesItsPrompt({ file, from, members, prompt, isShown }: Build): Promise<void> {
  const folder = mkdtempSync(join(scratch, 'run-'))
  copyFileSync(join(examples, file), join(folder, file))
  const [root] = (await debianMembers([{ package: from, members }])) ?? []
  for (const member of members) copyFileSync(join(root!, member), join(folder, basename(member)))
  const out = join(folder, 'out')
  const { code, stdout, stderr } = await runRetrap(['test', join(folder, file), '--out', out], {
    deadlineMs: DEADLINE_MS,
  })
  expect([code, stdout]).toEqual([0, expect.stringContaining(`ok     ${prompt}`)])
  expect(stderr).toMatch(/booted in .* s: [\d,]+ instructions/)
  if (!isShown) return
  const name = prompt.replaceAll(' ', '-')
  const { rgb } = readPng(readFileSync(join(out, file.replace('.', '-'), name, 'prompt.png')))
  expect(new Set(rgb).size).toBeGreaterThan(1)
}

const DEADLINE_MS = 240_000
const isThere =
  (await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])) !== undefined

describe.runIf(isThere)(`firmware reaches its prompt${skipNote(isThere, 'cannot fetch it')}`, () => {
  test.each(SHORT)('$file with $members', reachesItsPrompt, DEADLINE_MS)
  test.runIf(EVERY_TEST).each(EDK2)('$file with $members', reachesItsPrompt, DEADLINE_MS)
})

test.runIf(isThere)(
  'firmware that does not come to its prompt fails, with its screen',
  async () => {
    const [root] = (await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])) ?? []
    const plan = JSON.parse(readFileSync(join(examples, 'seabios.json'), 'utf8')) as Record<string, unknown>
    plan['boot'] = [{ screen: 'No such text' }]
    plan['bootTimeout'] = 5
    const path = join(scratch, 'never.json')
    writeFileSync(path, JSON.stringify(plan))
    copyFileSync(join(root!, 'usr/share/seabios/bios-256k.bin'), join(scratch, 'bios-256k.bin'))
    const out = join(scratch, 'out')
    const xml = join(scratch, 'results.xml')
    const run = await runRetrap(['test', path, '--out', out, '--junit', xml], { deadlineMs: DEADLINE_MS })
    expect(run.code).toBe(1)
    expect(run.stdout).toContain('FAILED boot')
    expect(run.stdout).toContain('Press ESC for boot menu')
    expect(readFileSync(xml, 'utf8')).toContain('failures="1"')
    expect(new Set(readPng(readFileSync(join(out, 'never-json/boot/screen.png'))).rgb).size).toBeGreaterThan(1)
  },
  DEADLINE_MS,
)

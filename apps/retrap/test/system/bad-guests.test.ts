import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { firmwareWithoutInterrupts, realModeFirmware } from '../support/firmware.ts'
import { runHere } from '../support/in-process.ts'
import type { Finished } from '../support/processes.ts'

const folder = temporaryFolder('bad')

async function runFirmware(image: Uint8Array, ...args: readonly string[]): Promise<Finished> {
  const file = join(folder, `${Math.random()}.bin`)
  await writeFile(file, image)
  return runHere(['run', '--firmware', file, '--memory', '16M', ...args], { deadlineMs: 100_000 })
}

const debugExit = ['--device', 'isa-debug-exit,iobase=0xf4,iosize=1']

describe('a guest', () => {
  test('ends the process with a value of its choice', async () => {
    const image = realModeFirmware(['b0 10', 'mov al, 0x10'], ['e6 f4', 'out 0xf4, al'])
    expect(await runFirmware(image, ...debugExit)).toEqual({ code: 33, stdout: '', stderr: '' })
  })

  test('that triple-faults is shown with its registers and instruction', async () => {
    const image = firmwareWithoutInterrupts(['b8 34 12', 'mov ax, 0x1234'], ['cc', 'int3'])
    const { code, stderr } = await runFirmware(image)
    expect(code).toBe(86)
    expect(stderr).toMatch(/^retrap: triple fault/)
    expect(stderr).toMatch(/RAX +0000000000001234\b/)
    expect(stderr).toMatch(/\bint3\b/)
  })

  test('that loops for ever ends with its time', async () => {
    const started = performance.now()
    const { code, stderr } = await runFirmware(realModeFirmware(['eb fe', 'jmp $']), '--timeout', '1')
    expect([code, stderr]).toEqual([124, 'retrap: ended by --timeout after 1 s\n'])
    expect(performance.now() - started).toBeLessThan(15_000)
  })

  test('that halts for ever ends with its time', async () => {
    const { code } = await runFirmware(realModeFirmware(['fa', 'cli'], ['f4', 'hlt']), '--timeout', '1')
    expect(code).toBe(124)
  })

  test('that jumps to where there is nothing executes all ones, which is no instruction', async () => {
    const image = firmwareWithoutInterrupts(['ea 00 00 00 a0', 'jmp 0xa000:0'])
    const { code, stderr } = await runFirmware(image)
    expect(code).toBe(86)
    expect(stderr).toContain('00000000000a0000  no memory here')
  })

  test('that writes to its ROM changes nothing', async () => {
    const image = realModeFirmware(
      ['b8 00 f0', 'mov ax, 0xf000'],
      ['8e d8', 'mov ds, ax'],
      ['c6 06 00 02 55', 'mov byte [0x200], 0x55 ; the image has 0xf4 there'],
      ['a0 00 02', 'mov al, [0x200]'],
      ['2c e4', 'sub al, 0xe4'],
      ['e6 f4', 'out 0xf4, al'],
    )
    expect(await runFirmware(image, ...debugExit)).toMatchObject({ code: 33, stderr: '' })
  })

  test('that resets its machine starts again', async () => {
    const image = realModeFirmware(
      ['b0 06', 'mov al, 6'],
      ['ba f9 0c', 'mov dx, 0xcf9'],
      ['ee', 'out dx, al'],
      ['eb fe', 'jmp $'],
    )
    const { code, stderr } = await runFirmware(image, '--timeout', '1', '--stats', 'json')
    expect(code).toBe(124)
    const [said, statistics = ''] = stderr.split('\n')
    expect(said).toBe('retrap: ended by --timeout after 1 s')
    expect((JSON.parse(statistics) as { resets: number }).resets).toBeGreaterThan(0)
  })

  test('prints on the debug console', async () => {
    const image = realModeFirmware(
      ['b0 48', "mov al, 'H'"],
      ['e6 e9', 'out 0xe9, al'],
      ['b0 69', "mov al, 'i'"],
      ['e6 e9', 'out 0xe9, al'],
      ['e6 f4', 'out 0xf4, al'],
    )
    const { stdout } = await runFirmware(image, ...debugExit, '--device', 'isa-debugcon')
    expect(stdout).toBe('Hi')
  })
})

const hasApt = await Apt.isAvailable()

describe('an image that cannot be started', () => {
  test.skipIf(!hasApt)('is reported by what is wrong with it, for a real kernel too', { timeout: 60_000 }, async () => {
    const { kernelPath } = await fetchLinux('linux-image-cloud-amd64')
    const cut = join(folder, 'cut')
    await writeFile(cut, (await readFile(kernelPath)).subarray(0, 100_000))
    const big = join(folder, 'big')
    await writeFile(big, new Uint8Array(128 << 20))
    const truncated = await runHere(['run', '--kernel', cut], { deadlineMs: 100_000 })
    expect(truncated).toMatchObject({ code: 74, stderr: expect.stringMatching(/^retrap: [^\n]+\n$/) })
    const options = ['--kernel', kernelPath, '--initrd', big, '--memory', '128M']
    const tooBig = await runHere(['run', ...options], { deadlineMs: 100_000 })
    expect(tooBig).toMatchObject({ code: 74, stderr: expect.stringMatching(/^retrap: [^\n]*initrd[^\n]*\n$/) })
  })

  test.each([
    { what: 'an empty kernel', size: 0, option: '--kernel' },
    { what: 'a kernel cut short', size: 300, option: '--kernel' },
    { what: 'a kernel that is none', size: 0x10000, option: '--kernel' },
    { what: 'an empty firmware', size: 0, option: '--firmware' },
    { what: 'a firmware of 32 MiB', size: 32 << 20, option: '--firmware' },
  ])('$what is an error of one line', async ({ size, option }) => {
    const file = join(folder, 'image')
    await writeFile(file, new Uint8Array(size))
    const { code, stdout, stderr } = await runHere(['run', option, file], { deadlineMs: 100_000 })
    expect(code).toBe(74)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/^retrap: [^\n]+\n$/)
  })
})

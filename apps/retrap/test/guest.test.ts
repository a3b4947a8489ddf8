// The embedded guest on an independent machine: QEMU's. What it prints there is what it must print on ours.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildGuestImage } from '@retrap/embedded-guest'

const QEMU = 'qemu-system-x86_64'
const hasQemu = hasProgram(QEMU)
const CTRL_D = '\x04'
const MACHINE = ['-M', 'pc', '-m', '64']
const NOTHING_ELSE = ['-display', 'none', '-monitor', 'none', '-no-reboot', '-net', 'none']

describe.skipIf(!hasQemu)(
  `the embedded guest under QEMU${skipNote(hasQemu, 'qemu-system-x86_64 is not installed')}`,
  () => {
    let folder = ''
    let image = ''

    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'retrap-guest-'))
      image = join(folder, 'guest.bin')
      writeFileSync(image, buildGuestImage())
    })

    afterAll(() => rmSync(folder, { recursive: true }))

    /** Runs it with everything typed in advance; ends with power-off, or when `until` was printed. */
    async function run(
      options: readonly string[],
      input: string,
      until?: string,
    ): Promise<{ text: string; code: number | null }> {
      const fixed = ['-bios', image, '-serial', 'stdio', ...NOTHING_ELSE]
      const child = spawn(QEMU, [...options, '-accel', 'tcg', ...fixed], { stdio: ['pipe', 'pipe', 'inherit'] })
      let text = ''
      child.stdin.on('error', () => undefined)
      child.stdin.write(input)
      child.stdout.setEncoding('latin1')
      child.stdout.on('data', (piece: string) => {
        text += piece.replaceAll('\r', '')
        if (until !== undefined && text.includes(until)) child.kill('SIGKILL')
      })
      const deadline = setTimeout(() => child.kill('SIGKILL'), 100_000)
      const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
      clearTimeout(deadline)
      return { text, code }
    }

    test('reports the machine, and powers off at the end of input', async () => {
      const { text, code } = await run([...MACHINE, '-smp', '3', '-cpu', 'qemu64'], CTRL_D)
      expect(text).toContain('vendor      AuthenticAMD')
      expect(text).toContain('processors  3')
      expect(text).toMatch(/features +fpu .*\n?.* sse2/)
      expect(text).toMatch(/0000100000-0003ffffff +63 MiB {2}RAM/)
      expect(text).toContain('00:00.0  8086:1237  class 0600  bridge')
      expect(text).toContain('I/O APIC          version 20')
      // A busy host stretches the 10 ms, so the figures vary.
      expect(text).toMatch(/HPET +1?\d\d\.\d{3} MHz/)
      expect(text).toMatch(/ACPI PM timer +[345]\.\d{3} MHz/)
      expect(text).toMatch(/Date {2}20\d\d-[01]\d-[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d UTC/)
      expect(text.trimEnd()).toMatch(/retrap> \nPower off\.$/)
      expect(code).toBe(0)
    })

    test('finds memory above 4 GiB and its chipset on the other board', async () => {
      const { text, code } = await run(['-M', 'q35', '-m', '5G', '-cpu', 'max'], 'off\n')
      expect(text).toContain('5120 MiB of RAM')
      // The part of CPUID leaf 7 that QEMU 7.2 emulates.
      const features = /features +([^]*?)\nMemory/.exec(text)?.[1]?.split(/\s+/) ?? []
      const extended = 'fsgsbase bmi1 avx2 smep bmi2 erms adx smap clflushopt clwb umip pku la57'
      expect(features).toEqual(expect.arrayContaining(extended.split(' ')))
      expect(text).toMatch(/0100000000-01bfffffff +3072 MiB {2}RAM/)
      expect(code).toBe(0)
    })

    test('finds functions behind empty places, and names their classes', async () => {
      // Slots 3, 5 and 7 are empty; slot 8 has its functions 0, 3 and 7.
      const devices = ['pci-serial,addr=4', 'edu,addr=6', 'e1000,addr=8,multifunction=on,romfile=']
      const more = ['AC97,addr=1f,audiodev=none', 'qemu-xhci,addr=1e', 'virtio-rng,addr=9']
      const others = ['ich9-ahci,addr=8.3', 'i6300esb,addr=8.7', ...more]
      const options = [...devices, ...others].flatMap((device) => ['-device', device])
      const { text } = await run([...MACHINE, '-vga', 'std', '-audiodev', 'none,id=none', ...options], CTRL_D)
      expect(/PCI\n([^]*?)Devices\n/.exec(text)?.[1]).toBe(
        [
          '00:00.0  8086:1237  class 0600  bridge',
          '00:01.0  8086:7000  class 0601  bridge',
          '00:01.1  8086:7010  class 0101  storage',
          '00:01.3  8086:7113  class 0680  bridge',
          '00:02.0  1234:1111  class 0300  display',
          '00:04.0  1b36:0002  class 0700  communication',
          '00:06.0  1234:11e8  class 00ff  unclassified',
          '00:08.0  8086:100e  class 0200  network',
          '00:08.3  8086:2922  class 0106  storage',
          '00:08.7  8086:25ab  class 0880  system',
          '00:09.0  1af4:1005  class 00ff  unclassified',
          '00:1e.0  1b36:000d  class 0c03  serial bus',
          '00:1f.0  8086:2415  class 0401  multimedia',
        ]
          .map((line) => `  ${line}\n`)
          .join(''),
      )
    })

    test('edits lines and runs commands', async () => {
      const typed = [
        'help',
        'eco\b\x7fcho  one  two ',
        'nonsense',
        'all this goes\x15echo kept',
        'x\x03memory f0000',
        'off',
      ]
      const { text, code } = await run(MACHINE, typed.join('\r\n'), 'retrap> off')
      // The last line has no end yet, so nothing is powered off before the next one comes.
      expect(code).not.toBe(0)
      expect(text).toContain('echo      prints its argument')
      expect(text).toContain('\none  two \n')
      expect(text).toContain('There is no command nonsense; try help.')
      expect(text).toContain('\nkept\n')
      expect(text).toContain('x^C\nretrap> memory f0000\n  000f0000  ')
      expect(text.endsWith('retrap> off')).toBe(true)
    })

    test('loses nothing of a long script typed ahead', async () => {
      const lines = Array.from({ length: 200 }, (_, index) => `line ${index}`)
      const { text, code } = await run(MACHINE, `${lines.map((line) => `echo ${line}\n`).join('')}${CTRL_D}`)
      const printed = text.split('\n').filter((line) => line.startsWith('line '))
      expect(printed).toEqual(lines)
      expect(code).toBe(0)
    })

    test('names the exception that stops it', async () => {
      const { text } = await run(MACHINE, 'fault\n', 'Halted.')
      expect(text).toContain('Exception 6, invalid opcode (#UD)')
      expect(text).toMatch(/RIP +00000000000f[0-9a-f]{4}\n/)
    })
  },
)

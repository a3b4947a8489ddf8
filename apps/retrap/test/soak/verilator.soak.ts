// The examples of the bridge to Verilator under Debian's kernel: its own driver of serial cards, and one for the DMA engine.
// Runs agree to the instruction, and are replayed without the designs.
// @programs: verilator_bin
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Soak } from '@retrap/tooling/soak'
import { buildDesign, hasVerilator } from '@retrap/tooling/verilator'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { buildModule } from '../support/kernel-module.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 600_000
const sdk = fileURLToPath(new URL('../../../../packages/device-hosting/sdk/', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'retrap-verilator-'))

/** Loads the driver, copies by it, and talks over the line; its input is nothing, so that runs agree. */
const auto = (lines: number): string => `${FIRST_PROCESS}
insmod /retrap_dma.ko
dmesg | grep -E '16550A|retrap-dma'
seq ${lines * 10} > /a
cat /a > /dev/retrap-dma
cmp /a /dev/retrap-dma && echo equal
grep retrap-dma /proc/interrupts
stty -F /dev/ttyS1 115200 -echo
head -1 /dev/ttyS1 > /got & sleep 0.01
seq ${lines} > /dev/ttyS1
echo go > /dev/ttyS1
wait
cat /got
tail -4 /proc/tty/driver/serial
poweroff -f
`
/** What Debian must say. */
const EXPECTED = [
  /ttyS1 at I\/O \S+ \(irq = \d+, base_baud = 115200\) is a 16550A/,
  /copied 1048576 bytes: 0, \d+ cycles, \d+ ns/,
  /^equal\r$/m,
  / 2 +PCI-MSI .*retrap-dma\r\n/,
  /^typed at the terminal\r$/m,
] as const

const design = (folder: string, top: string): Promise<string> =>
  buildDesign({
    top,
    sources: [join(sdk, `verilator/examples/${folder}/${top}.v`)],
    main: join(sdk, `verilator/examples/${folder}/main.cpp`),
    include: [join(sdk, 'c'), join(sdk, 'verilator')],
  })

let kernel = ''
let parts: readonly Uint8Array[] = []
let built: readonly [string, string]

/** Debian with both devices, recorded. */
async function record(name: string, initrd: string, uart: string, dma: string) {
  const line = join(scratch, `${name}.line`)
  const card = `exec:exec ${uart} --output ${line} --input ${join(scratch, 'typed')} --after go`
  const guest = ['--kernel', kernel, '--initrd', initrd, '--append', `${TO_DEVICES} rdinit=/auto`]
  const finished = await runRetrap(
    ['run', ...guest, '--device', card, '--device', `exec:exec ${dma}`, '--record', join(scratch, name)],
    { answers: [], deadlineMs: DEADLINE_MS },
  )
  const instructions = /recorded (\d+) instructions/.exec(finished.stderr)?.[1]
  return { ...finished, instructions, line: readFileSync(line, 'latin1') }
}

/** Debian whose only console is the design: its terminal types a command at the shell's prompt. */
async function useConsole(uart: string, left: number, right: number): Promise<string | void> {
  const initrd = join(scratch, 'shell')
  const line = join(scratch, 'console')
  writeFileSync(initrd, parts[0]!)
  writeFileSync(join(scratch, 'command'), `echo product-$((${left} * ${right})); poweroff -f\n`)
  const card = `exec:exec ${uart} --output ${line} --input ${join(scratch, 'command')} --after '/ # '`
  const guest = ['--kernel', kernel, '--initrd', initrd, '--append', 'console=ttyS1,115200 cryptomgr.notests']
  const { stdout, stderr, code } = await runRetrap(['run', ...guest, '--deterministic', '--device', card], {
    answers: [],
    deadlineMs: DEADLINE_MS,
  })
  const text = readFileSync(line, 'latin1')
  const wanted = [/console \[ttyS1\] enabled/, new RegExp(`^product-${left * right}\r$`, 'm'), /reboot: Power down/]
  for (const expected of wanted)
    if (!expected.test(text)) return `no ${expected} on the console: ${text}${stdout}${stderr}`
  if (stdout !== '' || code !== 0) return `status ${code}, and the other port had ${stdout}${stderr}`
}

/** Runs Debian twice with the designs, and once more without. */
export const soak: Soak = {
  name: 'verilator',
  count: 1,
  async setup() {
    const linux = await linuxWith([], '')
    const driver = linux && (await buildModule(join(sdk, 'verilator/examples/dma/driver'), scratch, 'retrap_dma'))
    if (!hasVerilator || linux === undefined || driver === undefined)
      throw new Error('there is no verilator, g++, apt, gcc or make')
    kernel = linux.kernelPath
    parts = [linux.initrd, writeCpio([{ kind: 'file', path: 'retrap_dma.ko', mode: 0o644, data: driver }])]
    built = [await design('uart', 'uart16550'), await design('dma', 'dma_engine')]
    writeFileSync(join(scratch, 'typed'), 'typed at the terminal\n')
  },
  async step(rng) {
    const lines = rng.between(1, 400)
    rng.note('lines', `${lines}`)
    const initrd = join(scratch, 'initrd')
    const first = writeCpio([{ kind: 'file', path: 'auto', mode: 0o755, data: new TextEncoder().encode(auto(lines)) }])
    writeFileSync(initrd, Buffer.concat([...parts, first]))
    const uart = join(scratch, 'uart16550')
    const dma = join(scratch, 'dma_engine')
    copyFileSync(built[0], uart)
    copyFileSync(built[1], dma)
    const one = await record('one', initrd, uart, dma)
    for (const expected of EXPECTED) if (!expected.test(one.stdout)) return `no ${expected}: ${one.stdout}${one.stderr}`
    const sent = [...Array.from({ length: lines }, (_, i) => `${i + 1}`), 'go', ''].join('\r\n')
    if (one.line !== sent) return `the line had ${one.line}`
    const two = await record('two', initrd, uart, dma)
    if (two.stdout !== one.stdout || two.line !== one.line || two.instructions !== one.instructions)
      return `the runs differ: ${one.instructions} and ${two.instructions} instructions\n${one.stdout}${two.stdout}`
    for (const program of [uart, dma]) {
      const checked = await runRetrap(['device-check', `exec:exec ${program}`], {
        answers: [],
        deadlineMs: DEADLINE_MS,
      })
      if (checked.code !== 0) return `${program} is found wrong: ${checked.stdout}${checked.stderr}`
    }
    const shown = await useConsole(uart, rng.between(2, 999), rng.between(2, 999))
    if (shown !== undefined) return shown
    rmSync(uart)
    rmSync(dma)
    const { stdout, stderr } = await runRetrap(['replay', join(scratch, 'one')], {
      answers: [],
      deadlineMs: DEADLINE_MS,
    })
    if (stdout !== one.stdout) return `the replay differs: ${stdout}${stderr}`
  },
  teardown: () => rmSync(scratch, { recursive: true }),
}

import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram } from '@retrap/tooling/skip'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { buildInitramfs } from '@retrap/linux-guest/linux/initramfs'
import { runRetrap } from '../support/processes.ts'

const QEMU = 'qemu-system-x86_64'
const hasQemu = hasProgram(QEMU)
const hasApt = await Apt.isAvailable()
if (!hasQemu || !hasApt) console.warn('SKIPPED: comparing walks with QEMU needs apt and qemu-system-x86_64')

const DEADLINE_MS = 240_000
const PROMPT = '/ # '

/** Linux under QEMU's TCG, stopped at the shell's prompt: its memory, and what QEMU says of its mappings. */
async function dumpLinux(
  folder: string,
  cpu: string,
  levels: number,
): Promise<{ dump: string; tlb: string; memory: string }> {
  const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
  const initrd = join(folder, 'initrd.img')
  await writeFile(initrd, buildInitramfs(await readFile(busyboxPath)))
  const socket = join(folder, `${levels}.sock`)
  const dump = join(folder, `${levels}.elf`)
  const child = spawn(
    QEMU,
    [
      ...['-accel', 'tcg', '-cpu', cpu, '-m', '128', '-display', 'none', '-serial', 'stdio'],
      ...['-monitor', `unix:${socket},server=on,wait=off`, '-kernel', kernelPath, '-initrd', initrd],
      ...['-append', 'console=ttyS0'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  try {
    await contains(child.stdout, PROMPT)
    const monitor = connect(socket)
    const ask = async (command: string): Promise<string> => {
      monitor.write(`${command}\n`)
      return contains(monitor, '\n(qemu) ')
    }
    await contains(monitor, '(qemu) ')
    await ask('stop')
    await ask(`dump-guest-memory ${dump}`)
    // With five levels, QEMU 7.2 goes on about this for minutes and then says nothing.
    const found = { dump, tlb: await ask('info tlb'), memory: levels === 4 ? await ask('info mem') : '' }
    monitor.destroy()
    return found
  } finally {
    child.kill('SIGKILL')
  }
}

/** What a stream says up to a text. */
function contains(stream: NodeJS.ReadableStream, text: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let all = ''
  const take = (data: Buffer): void => {
    all += data.toString('latin1')
    if (!all.replaceAll('\r', '').includes(text)) return
    stream.off('data', take)
    resolve(all)
  }
  stream.on('data', take)
  stream.once('end', () => reject(new Error(`it ended before it said ${JSON.stringify(text)}: ${all.slice(-500)}`)))
  return promise
}

const PAGE_BYTES: Readonly<Record<string, number>> = { '4 KiB': 2 ** 12, '2 MiB': 2 ** 21, '1 GiB': 2 ** 30 }

/** Our listing, page by page: "linear gpa size G", and the rights that go with it. */
function ours(listing: string): Map<string, string> {
  const pages = new Map<string, string>()
  const line = /^0x([0-9a-f]+)-0x([0-9a-f]+) {2}0x([0-9a-f]+) {2}.*? {2}([us]r[w-][x-])( G)?.* by (4 KiB|2 MiB|1 GiB)$/
  for (const text of listing.trim().split('\n').slice(1)) {
    const [, start = '', end = '', gpa = '', rights = '', global = '', size = ''] = line.exec(text) ?? []
    const bytes = BigInt(PAGE_BYTES[size] ?? 0)
    expect(bytes, text).not.toBe(0n)
    for (let at = BigInt(`0x${start}`), to = BigInt(`0x${gpa}`); at <= BigInt(`0x${end}`); at += bytes, to += bytes) {
      pages.set(`${at.toString(16).padStart(16, '0')} ${to.toString(16)} ${bytes > 4096n}${global}`, rights)
    }
  }
  return pages
}

describe.skipIf(!hasQemu || !hasApt)("retrap walk on QEMU's dump of a running Linux", () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retrap-walk-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test.each([
    { cpu: 'max', levels: 5 },
    { cpu: 'max,la57=off', levels: 4 },
  ])('lists the mappings that QEMU lists, with $levels levels', { timeout: DEADLINE_MS }, async ({ cpu, levels }) => {
    const { dump, tlb, memory } = await dumpLinux(folder, cpu, levels)
    const { code, stdout, stderr } = await runRetrap(['walk', dump, '--all'], { deadlineMs: DEADLINE_MS })
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain(`: ELF core, ${levels}-level paging, tables at 0x`)
    const pages = ours(stdout)

    // QEMU: "linear: guest-physical XGPDACTUW", of the leaf alone.
    const theirs = [...tlb.matchAll(/^([0-9a-f]{16}): ([0-9a-f]{16}) ([X-])([G-])([P-])....([U-])([W-])\r?$/gm)]
    expect(theirs.length).toBeGreaterThan(5000)
    const keys = theirs.map(
      ([, linear = '', gpa = '', , global, large]) =>
        `${linear} ${BigInt(`0x${gpa}`).toString(16)} ${large === 'P'}${global === 'G' ? ' G' : ''}`,
    )
    expect([...pages.keys()].toSorted()).toEqual(keys.toSorted())
    theirs.forEach(([text, , , noExecute, , , user, writable], i) => {
      const rights = pages.get(keys[i] ?? '') ?? ''
      // What a leaf denies nobody has; what it allows, a level above may deny.
      if (noExecute === 'X') expect(rights[3], text).toBe('-')
      if (user === '-') expect(rights[0], text).toBe('s')
      if (writable === '-') expect(rights[2], text).toBe('-')
    })

    // "start-end size urw", of all levels together.
    if (levels !== 4) return
    const combined = [...memory.matchAll(/^([0-9a-f]{16})-([0-9a-f]{16}) [0-9a-f]{16} ([u-])r([w-])\r?$/gm)]
    expect(combined.length).toBeGreaterThan(50)
    let checked = 0
    for (const [key, rights] of pages) {
      const linear = key.slice(0, 16)
      const range = combined.find(([, start = '', end = '']) => start <= linear && linear < end)
      expect(`${range?.[3] === 'u' ? 'u' : 's'}r${range?.[4]}`, key).toBe(rights.slice(0, 3))
      checked++
    }
    expect(checked).toBe(keys.length)
  })
})

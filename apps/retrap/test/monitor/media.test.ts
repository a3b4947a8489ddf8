import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BlockBackend } from '@retrap/device'
import type { MachineRemovableDrive } from '@retrap/machine'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { parseDrive } from '../../src/machine/drives/drives.ts'
import { OpenDrives } from '../../src/machine/drives/open-drives.ts'
import { serveFolder } from '../support/file-server.ts'
import { openMonitor } from '../support/monitor.ts'

const folder = temporaryFolder('media')
const file = (name: string): string => join(folder, name)

beforeEach(() => {
  writeFileSync(file('one.iso'), Buffer.alloc(4096, 1))
  writeFileSync(file('two.iso'), Buffer.alloc(8192, 2))
  writeFileSync(file('with blanks.img'), Buffer.alloc(1440 << 10, 3))
  writeFileSync(file('odd.img'), Buffer.alloc(3000 << 10))
})

/** A machine that does not run, with these drives. */
async function machine(...drives: readonly string[]) {
  const { backEnds, run: runWith, make } = await openMonitor({ drives: drives.map((text) => parseDrive(text)) })
  const pc = await make()
  const { images } = backEnds
  const run = (line: string): Promise<string> => runWith(line, pc)
  return { pc, images, run }
}

test('discs and floppies are listed, changed and ejected, and their files closed', async () => {
  const { pc, images, run } = await machine(
    `file=${file('odd.img')}`,
    `file=${file('one.iso')},media=cdrom,id=disc`,
    'media=cdrom',
    'if=floppy',
  )
  expect(await run('info block')).toBe(
    `disc: ${file('one.iso')} (CD drive)\ncd1: nothing (CD drive)\nfloppy0: nothing (floppy drive)\n`,
  )
  expect(await run(`change disc ${file('two.iso')}`)).toBe(`disc: ${file('two.iso')}\n`)
  expect(await run(`change floppy0 "${file('with blanks.img')}"`)).toBe(`floppy0: ${file('with blanks.img')}\n`)
  expect(images.drives.map(({ medium }) => medium?.properties.bytes)).toEqual([3_072_000, 8192, undefined, 1_474_560])
  // What the guest writes is in the file once it is out.
  await pc.drive('floppy0').medium!.write(512, new Uint8Array(512).fill(9))
  expect(await run('eject floppy0')).toBe('floppy0: empty\n')
  expect(readFileSync(file('with blanks.img'))[600]).toBe(9)
  expect(await run('eject floppy0')).toBe('floppy0: nothing is in it\n')
  expect(await run(`change cd1 ${file('one.iso')} raw`)).toBe(`cd1: ${file('one.iso')}\n`)
  expect(await run('info block')).toBe(
    `disc: ${file('two.iso')} (CD drive)\ncd1: ${file('one.iso')} (CD drive)\nfloppy0: nothing (floppy drive)\n`,
  )
  // A file that nobody has open can be had for writing again.
  expect(await run(`change floppy0 "${file('with blanks.img')}"`)).toContain('floppy0: ')
})

test.each([
  { line: 'eject', says: 'retrap: write eject [-f] DRIVE' },
  { line: 'eject cd0 x', says: 'write eject' },
  { line: 'change cd0', says: 'retrap: write change [-f] DRIVE FILE [FORMAT]' },
  { line: 'change cd0 x vmdk', says: "no format 'vmdk'; there are raw and qcow2" },
  { line: 'eject cd1', says: "no drive 'cd1'; there are: cd0, floppy0; did you mean 'cd0'?" },
  { line: 'change cd0 /nowhere.iso', says: '/nowhere.iso: there is no such file' },
  { line: 'ejct cd0', says: "no command 'ejct'; there are info, change, eject, drive_add" },
  { line: 'help', says: 'eject [-f] DRIVE   ' },
  { line: '', says: '' },
])("'$line'", async ({ line, says }) => {
  const { run } = await machine(`file=${file('one.iso')},media=cdrom`, 'if=floppy')
  const said = await run(line)
  expect(said).toContain(says)
  expect(said.startsWith('retrap: ')).toBe(!['help', ''].includes(line))
})

test("a URL's password is not shown", async () => {
  writeFileSync(file('kernel'), Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(2048)]))
  writeFileSync(file('disk.vmdk'), Buffer.concat([Buffer.from('KDMV'), Buffer.alloc(2048)]))
  const served = await serveFolder(folder)
  onTestFinished(() => served.close())
  const url = served.url.replace('//', '//me:secret@')
  const { run } = await machine(`file=${url}/one.iso,media=cdrom`)
  expect(await run('info block')).toBe(`cd0: ${served.url}/one.iso (CD drive)\n`)
  expect(await run(`change cd0 ${url}/two.iso`)).toBe(`cd0: ${served.url}/two.iso\n`)
  expect(await run(`change cd0 ${url}/disk.vmdk`)).toContain(`retrap: ${served.url}/disk.vmdk: VMDK images cannot`)
  expect(await run(`change cd0 ${url}/one.iso qcow2`)).toContain(`retrap: ${served.url}/one.iso: `)
  const said = await OpenDrives.open([{ path: `${url}/kernel`, snapshot: false, readOnly: true }]).catch(String)
  expect(said).toContain(`${served.url}/kernel: it is an ELF file`)
  expect(said).not.toContain('secret')
})

test('an image that the drive cannot take is closed, and the one before stays', async () => {
  const { pc, images, run } = await machine('if=floppy', `file=${file('one.iso')},media=cdrom`)
  expect(await run(`change floppy0 ${file('odd.img')}`)).toContain('floppy0: an image of 3072000 bytes')
  expect([pc.drive('floppy0').medium, images.drives[0]?.medium]).toEqual([null, null])
  expect(await run(`change cd0 ${file('odd.img')} qcow2`)).toContain('odd.img')
  expect(await run('info block')).toContain(`cd0: ${file('one.iso')} `)
  // It is not locked.
  const again = await OpenDrives.open([parseDrive(`file=${file('odd.img')}`)])
  await again.close()
})

test('a command waits for the one before, and no image that is in a drive is closed', async () => {
  const { pc, images, run } = await machine(`file=${file('one.iso')},media=cdrom`)
  const drive = pc.drive('cd0') as MachineRemovableDrive & BlockBackend
  const first = drive.medium!
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const read = first.read.bind(first)
  // A disc that answers late: its exchange lasts as long.
  first.read = async (...request) => {
    await held
    return read(...request)
  }
  const reading = expect(drive.read(0, new Uint8Array(512))).rejects.toMatchObject({ code: 'ERR_NO_MEDIUM' })
  const said = [run(`change cd0 ${file('two.iso')}`), run(`change cd0 "${file('with blanks.img')}"`)]
  await expect.poll(() => drive.medium).not.toBe(first)
  await sleep(100)
  release()
  await reading
  expect(await Promise.all(said)).toEqual([`cd0: ${file('two.iso')}\n`, `cd0: ${file('with blanks.img')}\n`])
  expect(await run('info block')).toBe(`cd0: ${file('with blanks.img')} (CD drive)\n`)
  expect(images.drives[0]?.medium).toBe(drive.medium)
  const into = new Uint8Array(512)
  await drive.medium!.read(0, into)
  expect(into[0]).toBe(3)
})

test('a machine that follows a reset has the disc that was asked for before it', async () => {
  const { run, make } = await openMonitor({ drives: [parseDrive(`file=${file('one.iso')},media=cdrom`)] })
  const before = await make()
  const drive = before.drive('cd0') as MachineRemovableDrive & BlockBackend
  const first = drive.medium!
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  first.read = () => held
  const reading = drive.read(0, new Uint8Array(512)).catch(() => 'failed')
  const said = run(`change cd0 ${file('two.iso')}`, before)
  await expect.poll(() => drive.medium).not.toBe(first)
  before.close()
  const making = make()
  await sleep(50)
  release()
  const after = await making
  expect(await Promise.all([said, reading])).toEqual([`cd0: ${file('two.iso')}\n`, 'failed'])
  const into = new Uint8Array(512)
  await after.drive('cd0').medium!.read(0, into)
  expect(into[0]).toBe(2)
})

test('without a machine that runs there is nothing to change', async () => {
  const { run } = await openMonitor()
  expect(await run('info block', undefined)).toBe('retrap: no machine runs\n')
  expect(await run('eject cd0', undefined)).toBe('retrap: no machine runs\n')
})

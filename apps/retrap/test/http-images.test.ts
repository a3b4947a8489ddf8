import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { sliced } from '@retrap/tooling/slice'
import { al, Assembler, ax, dx, imm16 } from '@retrap/x86-assembler'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serveFolder } from './support/file-server.ts'
import { runHere } from './support/in-process.ts'

const DEADLINE_MS = 120_000
const folder = temporaryFolder('http')
let served: Awaited<ReturnType<typeof serveFolder>>

/** A boot sector that sends a letter to the serial port and switches the machine off. */
function bootSector(letter: string): Buffer {
  const asm = new Assembler({ bits: 16, address: 0x7c00 })
  asm.mov(dx, imm16(0x3f8)).mov(al, letter.charCodeAt(0)).out(dx, al)
  asm.mov(dx, imm16(0x604)).mov(ax, imm16(0x2000)).out(dx, ax).hlt()
  const sector = Buffer.alloc(512)
  sector.set(asm.assemble().bytes)
  sector.set([0x55, 0xaa], 510)
  return sector
}

const retrap = (...args: readonly string[]) => runHere(args, { deadlineMs: DEADLINE_MS })

beforeAll(async () => {
  served = await serveFolder(folder)
  const disk = Buffer.alloc(1 << 20)
  disk.set(bootSector('H'))
  writeFileSync(join(folder, 'disk.img'), disk)
  const backing = ['-b', `${served.url}/disk.img`, '-F', 'raw']
  const made = await Promise.all([
    retrap('image', 'create', '-f', 'qcow2', ...backing, join(folder, 'over.qcow2')),
    retrap('image', 'convert', '-O', 'qcow2', `${served.url}/disk.img`, join(folder, 'disk.qcow2')),
  ])
  expect(made.map(({ code, stderr }) => [code, stderr])).toEqual([
    [0, ''],
    [0, ''],
  ])
}, DEADLINE_MS)
afterAll(() => served.close())

test("image info does not show a URL's password", async () => {
  const url = served.url.replace('//', '//me:secret@')
  const [text, json] = await Promise.all([
    retrap('image', 'info', `${url}/over.qcow2`),
    retrap('image', 'info', '--backing-chain', '--output', 'json', `${url}/over.qcow2`),
  ])
  expect(text.stdout).toContain(`image: ${served.url}/over.qcow2\n`)
  expect(json.stdout).toContain(`"filename": "${served.url}/over.qcow2"`)
  expect(text.stdout + text.stderr + json.stdout + json.stderr).not.toContain('secret')
})

test('image info tells of a URL what qemu-img tells', async () => {
  const { stdout, code } = await retrap('image', 'info', `${served.url}/disk.qcow2`)
  expect(stdout).toContain(`image: ${served.url}/disk.qcow2\nfile format: qcow2\nvirtual size: 1 MiB (1048576 bytes)\n`)
  expect(stdout).toContain('disk size: unavailable\n')
  expect(code).toBe(0)
  const chain = await retrap('image', 'info', '--backing-chain', '--output', 'json', `${served.url}/over.qcow2?x=1`)
  const [above, below] = JSON.parse(chain.stdout) as Record<string, unknown>[]
  expect([above?.['backing-filename'], below?.['filename'], below?.['format']]).toEqual([
    `${served.url}/disk.img`,
    `${served.url}/disk.img`,
    'raw',
  ])
  expect(above).not.toHaveProperty('actual-size')
  expect((await retrap('image', 'check', `${served.url}/disk.qcow2`)).stdout).toContain('No errors were found')
})

test.each([
  { args: ['image', 'info', '/none.img'], says: '/none.img: the server answers with status 404' },
  { args: ['run', '/none.img'], says: '/none.img: the server answers with status 404' },
  { args: ['run', '--cdrom', '/disk.qcow2', '--hda', '/none'], says: '/none: the server answers with status 404' },
])('$args: a clear error', async ({ args, says }) => {
  const { code, stderr } = await retrap(...args.map((arg) => (arg.startsWith('/') ? `${served.url}${arg}` : arg)))
  expect(stderr).toBe(`retrap: ${served.url}${says}\n`)
  expect(code).toBe(74)
})

test.each([
  { args: ['run', '--drive', 'file=http://me:se,,cret@host/x,if=none'], says: 'file=http://host/x,if=none has no id' },
  { args: ['run', '--drive', 'http://me:secret@host/x'], says: "'http://host/x' is not of the form" },
  { args: ['run', '--kernel', 'http://me:se@cret@host/x'], says: '--kernel http://host/x: there is no such file' },
  { args: ['run', '--vga', 'HTTPS://me:secret@host/x'], says: "argument 'HTTPS://host/x' is invalid" },
])('$args: no password is quoted', async ({ args, says }) => {
  const { code, stderr } = await retrap(...args)
  expect(stderr).toContain(says)
  expect(stderr).not.toContain('cret')
  expect(code).not.toBe(0)
})

const seaBios = await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])
describe.runIf(seaBios !== undefined)(`SeaBIOS boots${skipNote(seaBios !== undefined, 'cannot fetch it')}`, () => {
  const images: readonly { what: string; args: (url: string) => string[]; readOnly?: string }[] = [
    { what: 'a raw image of a web server', args: (url) => [`${url}/disk.img`], readOnly: 'disk.img' },
    { what: 'a qcow2 image there, with writes in memory', args: (url) => ['--snapshot', `${url}/disk.qcow2`] },
    { what: 'one by --drive', args: (url) => ['--drive', `file=${url}/disk.qcow2,format=qcow2,if=virtio,snapshot=on`] },
    { what: 'an image of this host with a URL below it', args: () => [join(folder, 'over.qcow2')] },
    { what: 'one there with a file there below it', args: (url) => [`${url}/over.qcow2`], readOnly: 'over.qcow2' },
    { what: 'one that is to be read only', args: (url) => ['--drive', `file=${url}/disk.img,readonly=on`] },
  ]
  test.each(sliced(images, 3))('$what', async ({ args, readOnly }) => {
    const before = readFileSync(join(folder, 'disk.img'))
    const { code, stdout, stderr } = await retrap('run', ...args(served.url), '--vga', 'none')
    expect([stdout.at(-1), code], stderr).toEqual(['H', 0])
    const note = 'is read-only: a web server takes no writes; --snapshot keeps them in memory'
    expect(stderr).toBe(readOnly === undefined ? '' : `retrap: ${served.url}/${readOnly} ${note}\n`)
    expect(readFileSync(join(folder, 'disk.img'))).toEqual(before)
  })
})

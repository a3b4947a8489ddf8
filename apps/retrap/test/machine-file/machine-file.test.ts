import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runFake } from '../support/run-fake.ts'

const folder = temporaryFolder('machine-file')
writeFileSync(join(folder, 'kernel'), 'image')
const rom = Uint8Array.of(0x55, 0xaa, 1, ...new Uint8Array(509))
writeFileSync(join(folder, 'rom'), rom)
mkdirSync(join(folder, 'shared, 1'))
writeFileSync(join(folder, 'disk, 1.img'), new Uint8Array(1 << 20))

/** Runs a machine that a file describes. */
async function runFile(content: unknown, ...args: readonly string[]) {
  const path = join(folder, 'machine.json')
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  const { code, created, stderr } = await runFake('run', path, ...args)
  return { code, options: created[0], message: stderr.replace(`${folder}/`, '') }
}

async function readSchema() {
  const { code, stdout } = await runFake('run', '--schema')
  expect(code).toBe(0)
  return new Ajv({ allowUnionTypes: true }).compile(JSON.parse(stdout) as object)
}
const accepts = await readSchema()

const kernel = new TextEncoder().encode('image')
test.each([
  {
    what: 'options by their names, with files beside it',
    file: { $schema: 'x', memory: '256M', cpus: 2, machine: 'q35', kernel: 'kernel', append: 'quiet', jit: true },
    options: { memoryBytes: 256 << 20, cpus: 2, machine: 'q35', kernel, commandLine: 'quiet', jit: {} },
  },
  {
    what: 'options that the command line overrides',
    file: { memory: '256M', kernel: 'kernel', deterministic: true },
    args: ['--memory', '1G'],
    options: { memoryBytes: 1 << 30, clock: 'deterministic' },
  },
  {
    what: 'options that the command line adds to',
    file: { kernel: 'kernel', module: [{ file: 'kernel', text: 'one two' }, 'kernel'], serial: 'none' },
    args: ['--module', `${folder}/kernel three`, '--serial', 'none'],
    options: {
      modules: ['one two', '', 'three'].map((commandLine) => ({ bytes: kernel, commandLine })),
      serialPorts: 2,
    },
  },
  {
    what: 'drives, devices and networks as objects',
    file: {
      kernel: 'kernel',
      drive: [
        { file: 'disk, 1.img', if: 'none', id: 'd', format: 'raw', snapshot: true },
        { file: 'disk, 1.img', media: 'disk', format: 'raw', readonly: true, index: 1 },
      ],
      device: [{ name: 'nvme', drive: 'd', serial: 'a,b' }, 'virtio-rng-pci', { name: 'virtio-net-pci', netdev: 'n' }],
      netdev: { kind: 'user', id: 'n', hostfwd: ['tcp::0-:22', 'udp::0-:53'] },
      boot: { order: 'dc', menu: true },
    },
    options: {
      drives: [{ interface: 'nvme', serialNumber: 'a,b' }, { index: 1 }],
      virtio: [{ kind: 'rng' }, { kind: 'net' }],
      boot: { order: 'dc', menu: true },
    },
  },
  {
    what: 'boot programs of network cards beside it',
    file: {
      memory: '256M',
      netdev: { kind: 'user', id: 'n' },
      device: { name: 'e1000', netdev: 'n', bootindex: 1, romfile: 'rom' },
      nic: { kind: 'user', model: 'virtio', bootindex: 2, romfile: 'rom' },
    },
    args: ['--kernel', join(folder, 'kernel')],
    options: {
      networkCards: [{ rom, bootIndex: 1 }],
      virtio: [{ rom, bootIndex: 2 }],
    },
  },
  {
    what: 'consoles and ports, and the files that they lead to',
    file: {
      kernel: 'kernel',
      serial: 'none',
      chardev: [
        { kind: 'file', id: 'a', path: 'a.log' },
        { kind: 'null', id: 'b' },
      ],
      device: [
        'virtio-serial-pci',
        { name: 'virtserialport', chardev: 'a', portname: 'org.a' },
        { name: 'virtconsole', chardev: 'b' },
      ],
    },
    options: {
      virtio: [{ ports: [{ console: true }, { console: false, name: 'org.a' }] }],
    },
  },
  {
    what: 'directories, which begin at its own',
    file: {
      kernel: 'kernel',
      virtfs: { driver: 'local', path: '.', mount_tag: 'v' },
      share: ['a=shared,, 1', { tag: 'b', path: './shared, 1', readonly: true }],
    },
    args: ['--share', `c=${folder}`],
    options: {
      virtio: [
        { kind: 'share', tag: 'a', readOnly: false },
        { kind: 'share', tag: 'b', readOnly: true },
        { kind: 'share', tag: 'c' },
        { kind: 'share', tag: 'v' },
      ],
    },
  },
  {
    what: 'texts as on the command line, whose files are beside it too',
    file: {
      kernel: 'kernel',
      drive: [
        'file=disk,, 1.img,if=none,id=d,format=raw,snapshot=on',
        'if=virtio,snapshot=on,format=raw,file=disk,, 1.img',
      ],
      device: 'nvme,drive=d,serial=a,,b',
      nic: 'user,hostfwd=tcp::0-:22,hostfwd=udp::0-:53',
      boot: 'order=dc,menu=on',
      timeout: '1e2',
      cpus: '0x2',
    },
    options: {
      cpus: 2,
      drives: [{ interface: 'nvme', serialNumber: 'a,b' }, { interface: 'virtio' }],
      boot: { order: 'dc', menu: true },
    },
  },
])('a machine file has $what', async ({ file, args = [], options }) => {
  const found = await runFile(file, ...args)
  expect(found.message).toBe('')
  expect(found.options).toMatchObject(options)
  expect(accepts(file), JSON.stringify(accepts.errors)).toBe(true)
})

test.each([
  { file: { memroy: '1G' }, message: "memroy: there is no such option; did you mean 'memory'?" },
  {
    file: { machine: 'q53' },
    message:
      "machine: 'q53' is unknown; there are pc, q35, pc,smm=on, q35,smm=on, pc,smm=off, q35,smm=off, virt, virt,gic-version=2, virt,gic-version=3; did you mean 'q35'?",
  },
  { file: { memory: '1Q' }, message: "memory: --memory '1Q' is not a size" },
  { file: { cpus: 'two' }, message: 'cpus: --cpus two is not a number of CPUs' },
  { file: { cpus: 1.5 }, message: 'cpus: --cpus 1.5 is not a number of CPUs' },
  { file: { timeout: 'soon' }, message: "timeout: --timeout 'soon' is not a time" },
  { file: { 'device-deadline': 0 }, message: "device-deadline: --device-deadline '0' is not a time" },
  { file: { drive: 'file=a,if=virtio,x' }, message: "drive: 'x' is not of the form key=value", valid: true },
  { file: { drive: 'file=a,file=b' }, message: "drive: 'file' is given twice", valid: true },
  { file: { drive: 'file=a,fi=b' }, message: 'drive.fi: there is no such option', valid: true },
  { file: { cpus: [1, 2] }, message: 'cpus: expected one value, not a list' },
  { file: { deterministic: 'yes' }, message: 'deterministic: expected true or false' },
  {
    file: { drive: ['kernel', { flie: 'x' }] },
    message: "drive[1].flie: there is no such option; did you mean 'file'?",
  },
  { file: { drive: { file: ['a'] } }, message: 'drive.file: expected a text' },
  { file: { drive: { file: 'a', if: 'sd' } }, message: 'drive: --drive: if=sd is unknown', valid: true },
  { file: { device: { name: 'nvem', drive: 'd' } }, message: "device.name: 'nvem' is unknown; did you mean 'nvme'?" },
  {
    file: { netdev: { kind: 'user', hostfw: 'x' } },
    message: "netdev.hostfw: there is no such option; did you mean 'hostfwd'?",
  },
  { file: { netdev: { id: 'n' } }, message: "netdev: expected a 'kind': one of user" },
  { file: { share: 'x' }, message: 'share: --share x: write TAG=DIR, such as work=./src', valid: true },
  { file: { share: { tag: 'x' } }, message: 'share: --share x=,readonly=off: write TAG=DIR', valid: true },
  { file: { schema: true }, message: 'schema: there is no such option' },
  { file: [], message: 'it has no object' },
  { file: '{', message: 'it is not JSON' },
])('$message', async ({ file, message, valid = false }) => {
  const found = await runFile(file)
  expect(found).toMatchObject({ code: 74, options: undefined })
  expect(found.message).toContain(`retrap: machine.json: ${message}`)
  expect(accepts(file)).toBe(valid)
})

test('two machine files, and one that is not there, are refused', async () => {
  const { message } = await runFile({}, 'b.json')
  expect(message).toContain('there are two machines')
  const { code, stderr } = await runFake('run', join(folder, 'absent.json'))
  expect([code, stderr]).toEqual([74, expect.stringContaining('absent.json: there is no such file')])
})

test('a device that is not there is answered with the nearest name', async () => {
  const { code, stderr } = await runFake('--device', 'virtio-nt-pci')
  expect([code, stderr]).toEqual([2, expect.stringContaining("did you mean 'virtio-net-pci'?")])
})

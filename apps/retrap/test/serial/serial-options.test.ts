import { describe, expect, test } from 'vitest'
import { listConsoles } from '../../src/machine/serial/console-devices.ts'
import { parseChardev, serialTargets } from '../../src/machine/serial/serial-options.ts'
import { parseDevice } from '../../src/options/values.ts'

const list = (chardevs: readonly string[], devices: readonly string[]): readonly unknown[] =>
  listConsoles({ chardev: chardevs.map(parseChardev), device: devices.map(parseDevice) })

const SOCKET = 'socket,id=s,server=on'

describe('--chardev (QEMU, "Invocation", Character device options)', () => {
  test.each([
    ['stdio,id=a', { kind: 'stdio' }],
    ['null,id=a', { kind: 'none' }],
    ['pty,id=a', { kind: 'pty' }],
    ['file,id=a,path=x,,y', { kind: 'file', path: 'x,y' }],
    ['socket,id=a,path=/x,server=on,wait=off', { kind: 'unix', path: '/x' }],
    ['socket,id=a,port=4444,server=on', { kind: 'tcp', host: '127.0.0.1', port: 4444 }],
    ['socket,id=a,host=0.0.0.0,port=0,server=on', { kind: 'tcp', host: '0.0.0.0', port: 0 }],
  ])('%s', (text, target) => expect(parseChardev(text)).toEqual({ id: 'a', target }))

  test.each([
    ['sockt,id=a', "'sockt' is unknown; there are stdio, null, pty, file, socket; did you mean 'socket'?"],
    ['null', 'has no id'],
    ['null,id=a,path=x', "--chardev null has no 'path'; it has id"],
    ['stdio,id=a,mux', "has no 'mux'"],
    ['file,id=a', 'names no file'],
    ['socket,id=a,path=/x', 'a socket only listens; write server=on'],
    ['socket,id=a,path=/x,server=off', 'a socket only listens'],
    ['socket,id=a,path=/x,server=yes', 'server=yes is not on or off'],
    [`${SOCKET},path=/x,wait=on`, 'waits for no program; write wait=off'],
    [SOCKET, 'either path=PATH or port=PORT'],
    [`${SOCKET},path=/x,port=1`, 'either path=PATH or port=PORT'],
    [`${SOCKET},port=65536`, 'port=65536 is not a number from 0 to 65535'],
  ])('%s is refused', (text, message) => expect(() => parseChardev(text)).toThrow(message))

  test('one thing alone has the terminal; the first serial port, if nothing else', () => {
    const chardev = [parseChardev('stdio,id=a')]
    expect(serialTargets({})).toEqual([{ kind: 'stdio' }])
    expect(serialTargets({ chardev: [parseChardev('null,id=a')] })).toEqual([{ kind: 'stdio' }])
    expect(serialTargets({ display: { kind: 'terminal' } })).toEqual([{ kind: 'none' }])
    expect(serialTargets({ chardev })).toEqual([{ kind: 'none' }])
    expect(serialTargets({ chardev, serial: [{ kind: 'pty' }] })).toEqual([{ kind: 'pty' }])
    expect(() => serialTargets({ chardev, serial: [{ kind: 'stdio' }] })).toThrow('belongs to --serial stdio already')
    expect(() => serialTargets({ chardev, display: { kind: 'terminal' } })).toThrow(
      '--display terminal has the terminal',
    )
    expect(() => serialTargets({ chardev: [...chardev, parseChardev('stdio,id=b')] })).toThrow(
      '--chardev b: the terminal belongs to --chardev a already',
    )
  })
})

describe('--device virtio-serial-pci, virtconsole and virtserialport', () => {
  test('are controllers with ports; a console comes first', () => {
    const devices = [
      ...['virtio-serial-pci,id=x,addr=7', 'virtserialport,chardev=a,name=org.a', 'virtconsole,chardev=b'],
      ...['virtio-serial-pci,id=y,disable-legacy=on', 'virtserialport,chardev=c,name=org.a,bus=y.0,id=p'],
    ]
    expect(list(['null,id=a', 'null,id=b', 'null,id=c'], devices)).toEqual([
      {
        kind: 'console',
        slot: 7,
        ports: [
          { chardev: 'b', console: true },
          { chardev: 'a', name: 'org.a', console: false },
        ],
      },
      { kind: 'console', legacy: false, ports: [{ chardev: 'c', name: 'org.a', console: false }] },
    ])
    expect(list([], ['virtio-rng-pci'])).toEqual([])
  })

  test('behind a root port', () => {
    expect(list(['null,id=a'], ['virtio-serial-pci,bus=r', 'virtserialport,chardev=a'])).toEqual([
      { kind: 'console', port: 'r', ports: [{ chardev: 'a', console: false }] },
    ])
  })

  const CONTROLLER = 'virtio-serial-pci,id=x'
  test.each([
    [['null,id=a', 'pty,id=a'], [], "two --chardev have the id 'a'"],
    [['null,id=a'], [CONTROLLER], 'no device uses it; write --device virtserialport,chardev=a,name=NAME'],
    [[], [CONTROLLER], 'has no ports; write --device virtserialport'],
    [[], [CONTROLLER, 'virtconsole,chardev=a'], "there is no chardev 'a'; write --chardev socket,id=a,path=PATH"],
    [[], [CONTROLLER, 'virtconsole'], "there is no chardev ''; write --chardev socket,id=NAME"],
    [['null,id=a'], ['virtconsole,chardev=a'], 'needs a controller; write --device virtio-serial-pci'],
    [['null,id=a'], [CONTROLLER, 'virtconsole,chardev=a,bus=y.0'], 'write --device virtio-serial-pci,id=y'],
    [['null,id=a'], [CONTROLLER, 'virtconsole,chardev=a,nr=1'], "has no 'nr'; it has chardev, name, portname, bus, id"],
    [['null,id=a'], [CONTROLLER, 'virtconsole,chardev=a', 'virtconsole,chardev=a'], "'a' belongs to another device"],
    [
      ['null,id=a', 'null,id=b'],
      [CONTROLLER, 'virtserialport,chardev=a,name=n', 'virtserialport,chardev=b,name=n'],
      "there is a port named 'n' already",
    ],
  ])('%j with %j: %s', (chardevs, devices, message) => {
    expect(() => list(chardevs, devices)).toThrow(message)
  })
})

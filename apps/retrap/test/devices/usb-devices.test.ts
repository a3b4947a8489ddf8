import { describe, expect, test } from 'vitest'
import { connectDrives } from '../../src/machine/devices/disk-devices.ts'
import { listDrives, parseDrive } from '../../src/machine/drives/drives.ts'
import { usbController } from '../../src/machine/devices/pci-devices.ts'
import { parseDevice } from '../../src/options/values.ts'

function usb(devices: readonly string[], drives: readonly string[] = []): unknown {
  const parsed = devices.map(parseDevice)
  return usbController(parsed, connectDrives(listDrives({ drive: drives.map(parseDrive) }, []), parsed))
}

describe('USB of the command line', () => {
  test('a controller with a keyboard, a tablet and a stick', () => {
    const drives = ['file=x,if=none,id=d']
    const devices = [
      'qemu-xhci,addr=6,id=x',
      'usb-kbd,bus=x.0',
      'usb-tablet',
      'usb-storage,drive=d,bootindex=1,serial=S',
    ]
    expect(usb(devices, drives)).toEqual({ slot: 6, devices: [{ kind: 'keyboard' }, { kind: 'tablet' }] })
    const [drive] = connectDrives(listDrives({ drive: drives.map(parseDrive) }, []), devices.map(parseDevice))
    expect(drive).toMatchObject({ interface: 'usb', bootIndex: 1, serialNumber: 'S' })
  })

  test('its ports are as many as the larger of p2 and p3 says', () => {
    expect(usb(['qemu-xhci,p2=8,p3=2', 'usb-mouse'])).toEqual({ ports: 8, devices: [{ kind: 'mouse' }] })
  })

  test('without any device there is none', () => expect(usb([])).toBeUndefined())

  test.each([
    { devices: ['usb-kbd'], message: '--device usb-kbd needs a controller; write --device qemu-xhci' },
    { devices: ['qemu-xhci', 'qemu-xhci'], message: 'given twice' },
    { devices: ['qemu-xhci,p2=1', 'usb-kbd', 'usb-mouse'], message: '2 devices are plugged in; it has 1 port' },
    { devices: ['qemu-xhci,p2=16'], message: 'p2=16' },
    { devices: ['qemu-xhci', 'usb-kbd,colour=red'], message: "has no 'colour'" },
  ])('$message', ({ devices, message }) => expect(() => usb(devices)).toThrow(message))

  test('a stick needs a controller, and a drive', () => {
    expect(() => usb(['usb-storage,drive=d'], ['file=x,if=none,id=d'])).toThrow('needs a controller')
    expect(() => usb(['qemu-xhci', 'usb-storage,drive=d'])).toThrow("there is no drive 'd'")
  })
})

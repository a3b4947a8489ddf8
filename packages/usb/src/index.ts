/**
 * USB: a host controller, devices, and an interface for devices of your own.
 *
 * @packageDocumentation
 */
export { Xhci, type XhciOptions } from './xhci/xhci.ts'
export { UsbKeyboard } from './hid/keyboard.ts'
export { UsbPointer } from './hid/pointer.ts'
export { UsbStorage, type UsbStorageOptions } from './storage/usb-storage.ts'
export type { UsbDescription, UsbDevice, UsbPort, UsbRefusal, UsbSetup, UsbSpeed } from './usb-device.ts'

/**
 * USB: a host controller, devices, and an interface for devices of your own.
 *
 * @packageDocumentation
 */
export { Xhci, type XhciOptions, type XhciState } from './xhci/xhci.ts'
export { UsbKeyboard, type UsbKeyboardState } from './hid/keyboard.ts'
export { UsbPointer, type UsbPointerOptions, type UsbPointerState } from './hid/pointer.ts'
export { UsbStorage, type UsbStorageOptions, type UsbStorageState } from './storage/usb-storage.ts'
export type {
  HidOptions,
  UsbDescription,
  UsbDevice,
  UsbEndpointOptions,
  UsbInterfaceOptions,
  UsbPort,
  UsbRefusal,
  UsbSetup,
  UsbSpeed,
} from './usb-device.ts'

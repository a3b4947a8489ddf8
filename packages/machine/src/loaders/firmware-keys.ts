/**
 * Keys of fw_cfg's items with a kernel that firmware is to start.
 *
 * Source: QEMU, include/standard-headers/linux/qemu_fw_cfg.h; SeaBIOS, OVMF and qboot read the same.
 */
export const KERNEL_KEY = {
  kernelAddress: 0x07,
  kernelSize: 0x08,
  initrdAddress: 0x0a,
  initrdSize: 0x0b,
  kernelEntry: 0x10,
  kernelData: 0x11,
  initrdData: 0x12,
  commandLineAddress: 0x13,
  commandLineSize: 0x14,
  commandLineData: 0x15,
  setupAddress: 0x16,
  setupSize: 0x17,
  setupData: 0x18,
} as const

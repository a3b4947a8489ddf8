import { describeThrown } from '@retrap/machine'
import type { DeviceFailure } from '@retrap/ioreq'

/** What there is to say of a device that was taken out. */
export function formatDeviceFailure({ serverName, device, request, cause }: DeviceFailure): string {
  return `retrap: device ${device} of server ${serverName} failed at ${request} and was taken out: ${describeThrown(cause)}\n`
}

export { buildGuestImage } from './image.ts'

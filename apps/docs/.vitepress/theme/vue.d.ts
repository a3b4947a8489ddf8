// VitePress compiles these; for tsc they are components without details.
declare module '*.vue' {
  import type { Component } from 'vue'

  const component: Component
  export default component
}

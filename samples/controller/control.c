/* control.c - balances a pole for five seconds by calling the compiled policy 1000 times a second.
   tenon controller.onnx -o libcontroller.a && cc -I ../../runtime/include control.c libcontroller.a -lpthread -lm */
#include "controller.h"
#include <math.h>
#include <stdio.h>

int main(void) {
  const tenon_api *api = controller_api(TENON_ABI);
  tenon_model *model;
  tenon_ctx *ctx;
  tenon_error error = {.size = sizeof error};
  if (api->open(NULL, &model, &error) || api->context(model, &ctx, &error)) return fprintf(stderr, "%s\n", error.text), 1;
  float state[4] = {0.5f, 0, 0.15f, 0}, force; /* position, speed, angle, rate */
  for (int step = 0; step < 5000; step++) {
    if (controller_run(ctx, 1, state, &force)) return api->last_error(ctx, &error), fprintf(stderr, "%s\n", error.text), 1;
    float u = 10 * force, dt = 0.001f;
    state[1] += dt * (u - 0.981f * state[2]), state[3] += dt * (21.582f * state[2] - 2 * u);
    state[0] += dt * state[1], state[2] += dt * state[3];
  }
  printf("after 5 s: position %.3f m, angle %.4f rad\n", state[0], state[2]);
  api->release(ctx), api->close(model);
  return fabsf(state[2]) > 0.05f;
}
